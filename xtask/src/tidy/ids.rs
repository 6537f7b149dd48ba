//! Ids that the documents define and that code cites: behaviours (`T-040`) and differences (`D-12`).

use std::collections::BTreeSet;

use super::source::Source;

/// The list of behaviours: prefix, first and last number of each run. It is the fixed point that the table in
/// `docs/behaviours.md` is held against, so that a row can't get lost.
const BEHAVIOURS: &[(&str, u16, u16)] = &[
    ("SEL", 1, 17),
    ("L", 1, 30),
    ("L", 40, 54),
    ("L", 60, 72),
    ("L", 80, 90),
    ("L", 100, 116),
    ("C", 1, 26),
    ("T", 1, 30),
    ("T", 40, 67),
    ("F", 1, 12),
    ("P", 1, 15),
    ("ST", 1, 48),
    ("ST", 60, 82),
    ("SV", 1, 30),
    ("TLS", 1, 41),
    ("DG", 1, 24),
    ("U", 1, 13),
    ("PI", 1, 19),
    ("LL", 1, 19),
    ("SF", 1, 11),
    ("E", 1, 10),
];

pub(super) fn behaviours() -> BTreeSet<String> {
    BEHAVIOURS
        .iter()
        .flat_map(|(prefix, first, last)| (*first..=*last).map(move |n| format!("{prefix}-{n:03}")))
        .collect()
}

/// Behaviour ids in a text, as (line, id): a known prefix, a dash, three digits.
pub(super) fn behaviours_in(text: &str) -> Vec<(usize, String)> {
    let known = |prefix: &str| BEHAVIOURS.iter().any(|(p, ..)| *p == prefix);
    ids_in(text)
        .into_iter()
        .filter(|(_, prefix, digits)| known(prefix) && digits.len() == 3)
        .map(|(line, prefix, digits)| (line, format!("{prefix}-{digits}")))
        .collect()
}

/// Difference ids in a text, as (line, id).
pub(super) fn differences_in(text: &str) -> Vec<(usize, String)> {
    ids_in(text)
        .into_iter()
        .filter(|(_, prefix, digits)| prefix == "D" && digits.len() == 2)
        .map(|(line, prefix, digits)| (line, format!("{prefix}-{digits}")))
        .collect()
}

/// The id that a test's name starts with (`t_040_sends_at_once`), if it does.
pub(super) fn behaviour_of_test(name: &str) -> Option<String> {
    let (prefix, rest) = name.split_once('_')?;
    let digits = rest.split('_').next()?;
    let prefix = prefix.to_uppercase();
    let known = BEHAVIOURS.iter().any(|(p, ..)| *p == prefix);
    let numbered = digits.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit());
    (known && numbered).then(|| format!("{prefix}-{digits}"))
}

/// The ids that a source cites: in comments, and in the names of its functions.
pub(super) fn behaviours_cited(source: &Source) -> Vec<(usize, String)> {
    let mut cited = behaviours_in(&source.comments);
    cited.extend(source.functions().into_iter().filter_map(|function| {
        Some((*function.lines.start(), behaviour_of_test(&function.name)?))
    }));
    cited
}

/// Capital letters, a dash, digits, with nothing of a name around: (line, letters, digits).
fn ids_in(text: &str) -> Vec<(usize, String, String)> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for word in line.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_') {
            let Some((prefix, digits)) = word.split_once('-') else { continue };
            let letters = !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_uppercase());
            let numbers = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            if letters && numbers {
                found.push((index + 1, prefix.to_owned(), digits.to_owned()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_every_behaviour() {
        let all = behaviours();
        assert_eq!(all.len(), 452);
        assert!(all.contains("T-067") && !all.contains("T-035") && !all.contains("T-068"));
    }

    #[test]
    fn ids_are_found_in_prose() {
        let found = behaviours_in("see T-040, (ST-001) and\nUTF-8, X-001, T-40; E-003.");
        let ids: Vec<_> = found.iter().map(|(line, id)| (*line, id.as_str())).collect();
        assert_eq!(ids, [(1, "T-040"), (1, "ST-001"), (2, "E-003")]);
        assert_eq!(differences_in("as D-12 says; D-123"), [(1, "D-12".to_owned())]);
    }

    #[test]
    fn a_test_is_named_for_its_behaviour() {
        assert_eq!(behaviour_of_test("sel_010_level"), Some("SEL-010".to_owned()));
        assert_eq!(behaviour_of_test("e_999_gone"), Some("E-999".to_owned()));
        assert_eq!(behaviour_of_test("it_works"), None);
        assert_eq!(behaviour_of_test("t_1_works"), None);
    }
}
