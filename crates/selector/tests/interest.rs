//! What is wanted and what is true, as bits: each question answered for each of them.

use millrun_selector::{Interest, Readiness, ReadyCell};

const INTERESTS: [Interest; 4] = [Interest::NONE, Interest::READ, Interest::WRITE, Interest::BOTH];

const BITS: [Readiness; 6] = [
    Readiness::READABLE,
    Readiness::WRITABLE,
    Readiness::READ_CLOSED,
    Readiness::WRITE_CLOSED,
    Readiness::ERROR,
    Readiness::URGENT,
];

/// The answers to one question, for each bit alone.
fn each(question: impl Fn(Readiness) -> bool) -> [bool; 6] {
    BITS.map(question)
}

fn all() -> Readiness {
    BITS.into_iter().fold(Readiness::NONE, |all, bit| all | bit)
}

fn holding(bits: Readiness) -> ReadyCell {
    let cell = ReadyCell::new();
    cell.set(bits);
    cell
}

#[test]
fn an_interest_says_which_directions_it_has() {
    assert_eq!(INTERESTS.map(Interest::reads), [false, true, false, true]);
    assert_eq!(INTERESTS.map(Interest::writes), [false, false, true, true]);
    assert_eq!(INTERESTS.map(Interest::is_none), [true, false, false, false]);
    assert_eq!(Interest::default(), Interest::NONE);
    let texts = INTERESTS.map(|interest| format!("{interest:?}"));
    assert_eq!(texts, ["NONE", "READ", "WRITE", "READ|WRITE"]);
}

#[test]
fn interests_are_joined_and_taken_apart_by_direction() {
    let [none, read, write, both] = INTERESTS;
    let joined = INTERESTS.map(|one| INTERESTS.map(|other| one | other));
    assert_eq!(joined[0], [none, read, write, both]);
    assert_eq!(joined[1], [read, read, both, both]);
    assert_eq!(joined[2], [write, both, write, both]);
    assert_eq!(joined[3], [both; 4]);
    let rest = INTERESTS.map(|one| INTERESTS.map(|other| one.without(other)));
    assert_eq!(rest[0], [none; 4]);
    assert_eq!(rest[1], [read, none, read, none]);
    assert_eq!(rest[2], [write, write, none, none]);
    assert_eq!(rest[3], [both, write, read, none]);
}

#[test]
fn sel_011_an_end_or_an_error_is_readable_and_writable_too() {
    assert_eq!(each(Readiness::is_readable), [true, false, true, false, true, false]);
    assert_eq!(each(Readiness::is_writable), [false, true, false, true, true, false]);
    assert_eq!(each(Readiness::is_read_closed), [false, false, true, false, false, false]);
    assert_eq!(each(Readiness::is_write_closed), [false, false, false, true, false, false]);
    assert_eq!(each(Readiness::is_error), [false, false, false, false, true, false]);
    assert_eq!(each(Readiness::is_none), [false; 6]);
    assert!(Readiness::NONE.is_none());
    assert!(all().is_readable() && all().is_writable());
    assert!(all().is_read_closed() && all().is_write_closed() && all().is_error());
}

/// SEL-015: both directions in one report, and what was not asked for is not in it; an error always is.
#[test]
fn sel_015_what_is_heard_is_cut_down_to_the_interest() {
    let (read, write) = (
        Readiness::READABLE | Readiness::READ_CLOSED | Readiness::ERROR,
        Readiness::WRITABLE | Readiness::WRITE_CLOSED | Readiness::ERROR,
    );
    let heard = INTERESTS.map(|interest| all().wanted(interest));
    assert_eq!(heard, [Readiness::NONE, read, write, read | write]);
    for interest in INTERESTS {
        assert_eq!(Readiness::NONE.wanted(interest), Readiness::NONE);
    }
    assert_eq!(Readiness::READABLE.wanted(Interest::BOTH), Readiness::READABLE);
}

#[test]
fn bits_are_told_apart_and_added() {
    for (at, bit) in BITS.into_iter().enumerate() {
        let others = (BITS.into_iter().filter(|other| *other != bit))
            .fold(Readiness::NONE, |others, other| others | other);
        assert!(all().contains(bit) && !others.contains(bit) && !bit.contains(all()), "{at}");
        assert!(bit.contains(Readiness::NONE) && bit.contains(bit));
        let mut joined = others;
        joined |= bit;
        assert_eq!(joined, all());
        joined |= bit;
        assert_eq!((joined, bit | bit), (all(), bit), "added once more it stays");
    }
    let two = Readiness::READABLE | Readiness::ERROR;
    assert!(!two.contains(Readiness::READABLE | Readiness::WRITABLE));
}

#[test]
fn bits_are_shown_by_name() {
    let texts = BITS.map(|bit| format!("{bit:?}"));
    let names = ["READABLE", "WRITABLE", "READ_CLOSED", "WRITE_CLOSED", "ERROR", "URGENT"];
    assert_eq!(texts, names);
    assert_eq!(format!("{:?}", all()), names.join("|"));
    assert_eq!(format!("{:?}", Readiness::NONE), "NONE");
    let cell = holding(Readiness::WRITABLE | Readiness::ERROR);
    assert_eq!(format!("{cell:?}"), "ReadyCell(WRITABLE|ERROR)");
}

#[test]
fn a_cell_gathers_what_edges_say() {
    let cell = ReadyCell::new();
    assert_eq!((cell.get(), ReadyCell::default().get()), (Readiness::NONE, Readiness::NONE));
    assert_eq!(cell.set(Readiness::READABLE), Readiness::READABLE);
    let both = Readiness::READABLE | Readiness::READ_CLOSED;
    assert_eq!(cell.set(both), both);
    assert_eq!(cell.get(), both);
}

/// SEL-010: what a transfer finds exhausted is cleared, and nothing beside it; and only once.
#[test]
fn sel_010_clearing_one_bit_leaves_the_others() {
    type Clear = fn(&ReadyCell);
    let clears: [(Readiness, Clear); 3] = [
        (Readiness::READABLE, ReadyCell::clear_readable),
        (Readiness::WRITABLE, ReadyCell::clear_writable),
        (Readiness::ERROR, ReadyCell::clear_error),
    ];
    for (bit, clear) in clears {
        let others = (BITS.into_iter().filter(|other| *other != bit))
            .fold(Readiness::NONE, |others, other| others | other);
        let cell = holding(all());
        clear(&cell);
        assert_eq!(cell.get(), others);
        clear(&cell);
        assert_eq!(cell.get(), others, "what is clear stays so");
    }
}

/// SEL-010: urgent data stops a read, so that a short one proves nothing.
#[test]
fn sel_010_a_short_read_clears_unless_urgent_data_came() {
    let cell = holding(Readiness::READABLE | Readiness::READ_CLOSED);
    cell.clear_readable_after_short_read();
    assert_eq!(cell.get(), Readiness::READ_CLOSED);
    let urgent = holding(Readiness::READABLE | Readiness::URGENT);
    urgent.clear_readable_after_short_read();
    assert_eq!(urgent.get(), Readiness::READABLE | Readiness::URGENT);
}

#[test]
fn being_told_again_is_a_mark_of_its_own() {
    for bits in [Readiness::NONE, Readiness::READABLE, all()] {
        let cell = holding(bits);
        assert!(!cell.is_told_again());
        cell.set_told_again(true);
        cell.set_told_again(true);
        assert!(cell.is_told_again());
        assert!(cell.get().contains(bits));
        assert_eq!(cell.get().wanted(Interest::BOTH), bits.wanted(Interest::BOTH), "not reported");
        assert_eq!(format!("{cell:?}"), format!("ReadyCell({bits:?})"), "not told by its name");
        cell.clear_readable();
        assert!(cell.is_told_again());
        cell.set(Readiness::READABLE);
        cell.set_told_again(false);
        cell.set_told_again(false);
        assert!(!cell.is_told_again());
        assert_eq!(cell.get(), bits | Readiness::READABLE);
    }
}
