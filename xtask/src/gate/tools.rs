//! What valgrind, strace and the kernel print.

use std::collections::BTreeMap;

/// The instructions that callgrind collected.
pub(super) fn instructions(log: &str) -> Result<f64, String> {
    log.lines()
        .find_map(|line| line.split_once("Collected :"))
        .and_then(|(_, count)| count.trim().parse().ok())
        .ok_or_else(|| format!("callgrind tells no count of instructions:\n{log}"))
}

/// The bytes that memcpy and its like were given, from the log of `valgrind --tool=dhat --mode=copy`.
pub(super) fn copied(log: &str) -> Result<f64, String> {
    log.lines()
        .find_map(|line| line.split_once("Total:"))
        .and_then(|(_, rest)| rest.trim().split(' ').next())
        .and_then(|bytes| bytes.replace(',', "").parse().ok())
        .ok_or_else(|| format!("dhat tells no bytes:\n{log}"))
}

/// Calls by family from the table of `strace -c`.
pub(super) fn calls(table: &str) -> Result<BTreeMap<&'static str, f64>, String> {
    let mut found = BTreeMap::new();
    for line in table.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        // % time, seconds, usecs/call, calls, errors (may be empty), name
        let [share, _, _, calls, .., name] = words.as_slice() else { continue };
        if share.parse::<f64>().is_err() || *name == "total" {
            continue;
        }
        let calls: f64 = calls.parse().map_err(|_| format!("strace's table: {line}"))?;
        *found.entry(family(name)).or_insert(0.0) += calls;
    }
    if found.is_empty() {
        return Err(format!("strace counted nothing:\n{table}"));
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
        "futex" => "futex",
        _ => "other",
    }
}

/// Resident bytes from `/proc/PID/smaps_rollup`, which is exact where `statm` counts in batches.
pub(super) fn resident(rollup: &str) -> Result<f64, String> {
    rollup
        .lines()
        .find_map(|line| line.strip_prefix("Rss:"))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .and_then(|kib| kib.trim().parse::<f64>().ok())
        .map(|kib| kib * 1024.0)
        .ok_or_else(|| format!("no Rss in:\n{rollup}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callgrind_tells_its_count() {
        assert_eq!(instructions("==1== Events    : Ir\n==1== Collected : 1234\n"), Ok(1234.0));
        assert!(instructions("==1== no such program").is_err());
    }

    #[test]
    fn dhat_tells_what_was_copied() {
        let log = "==1== Command: gate\n==1== Total:     7,209,245 bytes in 133 blocks\n";
        assert_eq!(copied(log), Ok(7_209_245.0));
        assert!(copied("==1== no such program").is_err());
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
        let expected = BTreeMap::from([("recv", 12.0), ("other", 1.0)]);
        assert_eq!(calls(table), Ok(expected));
        assert!(calls("strace: attach: not permitted").is_err());
    }

    #[test]
    fn the_kernel_tells_what_is_resident() {
        assert_eq!(resident("00-ff ---p\nRss:         12 kB\nPss: 1 kB"), Ok(12288.0));
        assert!(resident("").is_err());
    }
}
