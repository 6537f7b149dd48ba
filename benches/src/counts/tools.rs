//! What the tools write.

use std::collections::{BTreeMap, HashMap};

use super::Counted;

/// Instructions, and calls of what allocates, from callgrind's file.
pub(super) fn callgrind(text: &str) -> Result<Counted, String> {
    let instructions = text
        .lines()
        .find_map(|line| line.strip_prefix("summary:").or(line.strip_prefix("totals:")))
        .and_then(|count| count.trim().parse::<f64>().ok())
        .ok_or("callgrind tells no count of instructions")?;
    // A name is written once, with a number that stands for it from then on: `cfn=(12) malloc`, later `cfn=(12)`. How often it
    // was called follows: `calls=3 ...`.
    let mut names: HashMap<&str, &str> = HashMap::new();
    let mut called = "";
    let mut allocations = 0.0;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("fn=").or(line.strip_prefix("cfn=")) {
            let (number, name) = name.split_once(' ').unwrap_or((name, ""));
            if !name.is_empty() {
                names.insert(number, name);
            }
            called = names.get(number).copied().unwrap_or("");
        } else if let Some(calls) = line.strip_prefix("calls=") {
            if allocates(called) {
                let count = calls.split(' ').next().and_then(|count| count.parse::<f64>().ok());
                allocations += count.ok_or_else(|| format!("callgrind's file: {line}"))?;
            }
        }
    }
    Ok(BTreeMap::from([
        ("instructions".to_owned(), instructions),
        ("allocations".to_owned(), allocations),
    ]))
}

/// The allocator's functions, also where they are called for the second time in a row (`malloc'2`).
fn allocates(function: &str) -> bool {
    let name = function.split('\'').next().unwrap_or(function);
    matches!(name, "malloc" | "calloc" | "realloc" | "posix_memalign" | "aligned_alloc")
}

/// Bytes that memcpy and its like were given, from dhat's log.
pub(super) fn dhat(log: &str) -> Result<Counted, String> {
    let bytes = log
        .lines()
        .find_map(|line| line.split_once("Total:"))
        .and_then(|(_, rest)| rest.trim().split(' ').next())
        .and_then(|bytes| bytes.replace(',', "").parse().ok())
        .ok_or_else(|| format!("dhat tells no bytes:\n{log}"))?;
    Ok(BTreeMap::from([("copies".to_owned(), bytes)]))
}

/// Calls by family, and all together, from the table of `strace -c`.
pub(super) fn strace(table: &str) -> Result<Counted, String> {
    let mut found = Counted::new();
    for line in table.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        // % time, seconds, usecs/call, calls, errors (may be empty), name
        let [share, _, _, calls, .., name] = words.as_slice() else { continue };
        if share.parse::<f64>().is_err() || *name == "total" {
            continue;
        }
        let calls: f64 = calls.parse().map_err(|_| format!("strace's table: {line}"))?;
        *found.entry(family(name).to_owned()).or_insert(0.0) += calls;
        *found.entry("syscalls".to_owned()).or_insert(0.0) += calls;
    }
    if found.is_empty() {
        return Err(format!("strace counted nothing:\n{table}"));
    }
    // What never happened is a count too.
    for name in ["recv", "send", "epoll_wait", "epoll_ctl"] {
        found.entry(name.to_owned()).or_insert(0.0);
    }
    Ok(found)
}

/// One name for the calls that do the same; the rest is `other`.
fn family(call: &str) -> &'static str {
    match call {
        "read" | "recvfrom" | "recvmsg" | "readv" => "recv",
        "write" | "sendto" | "sendmsg" | "writev" => "send",
        "epoll_wait" | "epoll_pwait" | "epoll_pwait2" => "epoll_wait",
        "epoll_ctl" => "epoll_ctl",
        "io_uring_enter" => "io_uring_enter",
        "futex" => "futex",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callgrind_tells_instructions_and_allocations() {
        let text = "\
events: Ir
summary: 402238
fn=(1) main
10 20
cfn=(2) malloc
calls=3 100
11 50
cfn=(3) memcpy
calls=9 1
12 4
fn=(4) other
cfn=(2)
calls=2 100
13 7
cfn=(5) realloc'2
calls=1 100
14 7
totals: 402238
";
        let found = callgrind(text).unwrap();
        assert_eq!((found["instructions"], found["allocations"]), (402_238.0, 6.0));
        assert!(callgrind("==1== no such program").is_err());
    }

    #[test]
    fn dhat_tells_what_was_copied() {
        let found = dhat("==1== \n==1== Total:     7,209,245 bytes in 133 blocks\n").unwrap();
        assert_eq!(found["copies"], 7_209_245.0);
        assert!(dhat("nothing").is_err());
    }

    #[test]
    fn strace_tells_its_calls_by_family() {
        let table = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 50.00    0.000010           2         5           recvfrom
 25.00    0.000005           2         7         3 read
 25.00    0.000005           2         1           brk
------ ----------- ----------- --------- --------- ----------------
100.00    0.000020           2        13         3 total
";
        let found = strace(table).unwrap();
        assert_eq!((found["recv"], found["other"], found["syscalls"]), (12.0, 1.0, 13.0));
        assert_eq!(found["epoll_ctl"], 0.0);
        assert!(strace("strace: attach: not permitted").is_err());
    }
}
