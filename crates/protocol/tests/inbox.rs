//! Each rule of reading from a buffer with a limit, one by one.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod halves;

use halves::Both;
use millrun_loop::{BlockSize, LARGE_BLOCK, SMALL_BLOCK};
use millrun_protocol::inbox::{
    AtEnd, Attempt, EmptySeparator, Exact, IncompleteRead, Intake, InvalidLimit, LimitOverrun,
    Line, Need, Peek, Separators, Until, UpTo,
};

#[test]
fn st_001_a_limit_of_zero_is_refused() {
    assert_eq!(Intake::new(0).unwrap_err(), InvalidLimit { limit: 0 });
    assert!(Intake::new(1).is_ok());
    assert!(Intake::new(usize::MAX).is_err());
    assert!(InvalidLimit { limit: 0 }.to_string().contains("got 0"));
}

#[test]
fn st_002_feeding_nothing_changes_nothing() {
    let mut both = Both::new(10);
    both.feed(b"");
    assert_eq!((both.intake.len(), both.intake.capacity()), (0, 0));
}

#[test]
fn st_005_read_of_zero_gives_empty_at_once() {
    let mut both = Both::with(10, b"abc");
    assert_eq!(both.read(UpTo(0)), b"");
    assert_eq!(Both::new(10).read(UpTo(0)), b"");
    assert_eq!(both.left(), b"abc");
}

/// ST-006, ST-007.
#[test]
fn st_006_read_waits_only_for_the_first_byte() {
    let mut both = Both::new(10);
    assert_eq!(both.attempt(&mut UpTo(7)), Attempt::Wait(1));
    both.feed(b"li\nne");
    assert_eq!(both.read(UpTo(3)), b"li\n");
    both.feed(b"s\n");
    assert_eq!(both.read(UpTo(100)), b"nes\n");
    assert_eq!(UpTo(7).at_end(0), AtEnd::Take(0));
}

#[test]
fn st_010_the_limit_does_not_cut_a_read() {
    let mut both = Both::with(2, b"123456789");
    assert_eq!(both.read(UpTo(8)), b"12345678");
}

/// ST-017, ST-018.
#[test]
fn st_017_read_line_gives_the_line_with_its_newline() {
    let mut both = Both::with(100, b"one\ntwo\nth");
    assert_eq!(both.read(Line::default()), b"one\n");
    assert_eq!(both.read(Line::default()), b"two\n");
    let mut need = Line::default();
    assert_eq!(both.attempt(&mut need), Attempt::Wait(101));
    both.feed(b"ree\n");
    assert_eq!(both.read(need), b"three\n");
}

#[test]
fn st_019_at_the_end_of_file_a_partial_line_is_one() {
    assert_eq!(Line::default().at_end(4), AtEnd::Take(4));
    assert_eq!(Line::default().at_end(0), AtEnd::Take(0));
}

#[test]
fn st_020_a_line_as_long_as_the_limit_is_fine() {
    assert_eq!(Both::with(7, b"1234567\n").read(Line::default()), b"1234567\n");
    let mut both = Both::with(7, b"12345678\nrest");
    let over = LimitOverrun { limit: 7, consumed: 8, found: true };
    assert_eq!(both.attempt(&mut Line::default()), Attempt::Over(over));
}

#[test]
fn st_020_a_line_that_fills_the_limit_may_still_end() {
    let mut both = Both::with(7, b"1234567");
    let mut need = Line::default();
    assert_eq!(both.attempt(&mut need), Attempt::Wait(8));
    both.feed(b"\n");
    assert_eq!(both.read(need), b"1234567\n");
}

/// ST-021, ST-022 as D-06 has it.
#[test]
fn st_021_an_overlong_line_is_kept() {
    let mut both = Both::with(3, b"12345\nrest");
    let found = LimitOverrun { limit: 3, consumed: 5, found: true };
    assert_eq!(both.attempt(&mut Line::default()), Attempt::Over(found));
    assert_eq!(both.read(Exact(found.consumed)), b"12345");
    assert_eq!(both.read(Line::default()), b"\n");

    let not_found = LimitOverrun { limit: 3, consumed: 4, found: false };
    assert_eq!(both.attempt(&mut Line::default()), Attempt::Over(not_found));
    assert_eq!(both.left(), b"rest");
}

#[test]
fn st_023_read_until_gives_the_separator_too() {
    let mut both = Both::with(100, b"key: value");
    assert_eq!(both.until(&[b": "]).unwrap(), b"key: ");
    assert_eq!(both.left(), b"value");
}

#[test]
fn st_024_separators_have_a_byte_at_least() {
    assert_eq!(Until::new(Separators::One(b"")).unwrap_err(), EmptySeparator);
    assert_eq!(Until::new(Separators::Several(&[])).unwrap_err(), EmptySeparator);
    assert_eq!(Until::new((&[&b"a"[..], b""]).into()).unwrap_err(), EmptySeparator);
    assert!(Until::new(b"\r\n".into()).is_ok());
    assert!(Until::new("\r\n".into()).is_ok());
}

#[test]
fn st_026_the_end_of_file_before_the_separator_is_incomplete() {
    let need = Until::new(Separators::One(b"$")).unwrap();
    assert_eq!(need.at_end(5), AtEnd::Incomplete(None));
}

#[test]
fn st_028_a_separator_found_beyond_the_limit() {
    let mut both = Both::with(3, b"some dataAA");
    assert_eq!(both.until(&[b"AA"]), Err(LimitOverrun { limit: 3, consumed: 9, found: true }));
    assert_eq!(both.left(), b"some dataAA");
}

#[test]
fn st_029_no_separator_within_the_limit() {
    let mut both = Both::with(3, b"some dataA");
    assert_eq!(both.until(&[b"AA"]), Err(LimitOverrun { limit: 3, consumed: 9, found: false }));
    // limit + longest - 1 bytes may still become a match.
    let mut need = Until::new(Separators::One(b"AA")).unwrap();
    assert_eq!(Both::with(3, b"dat").attempt(&mut need), Attempt::Wait(5));
    let mut need = Until::new(Separators::One(b"AA")).unwrap();
    assert_eq!(Both::with(3, b"dat_").attempt(&mut need), Attempt::Wait(5));
    assert_eq!(both.left(), b"some dataA");
}

#[test]
fn st_030_the_limit_counts_bytes_without_the_separator() {
    assert_eq!(Both::with(3, b"dat\r\n").until(&[b"\r\n"]).unwrap(), b"dat\r\n");
}

#[test]
fn st_031_the_match_that_ends_first_wins() {
    assert_eq!(Both::with(50, b"GROUPING=x y").until(&[b" ", b"PING=x"]).unwrap(), b"GROUPING=x");
    // Two that end together: the shortest, which makes no difference to the result.
    assert_eq!(Both::with(50, b"a\r\nb").until(&[b"\r\n", b"\n"]).unwrap(), b"a\r\n");
}

/// The start of the winning match is what the limit is compared with: the shorter one starts later.
#[test]
fn st_032_the_limit_counts_to_the_winning_match() {
    assert_eq!(Both::with(2, b"ab\r\n").until(&[b"\r\n"]).unwrap(), b"ab\r\n");
    let tie = Both::with(2, b"ab\r\n").until(&[b"\r\n", b"\n"]).map(<[u8]>::to_vec);
    assert_eq!(tie, Err(LimitOverrun { limit: 2, consumed: 3, found: true }));
    let other_order = Both::with(2, b"ab\r\n").until(&[b"\n", b"\r\n"]).map(<[u8]>::to_vec);
    assert_eq!(other_order, tie);
}

#[test]
fn st_033_a_buffer_between_the_shortest_and_the_longest_separator() {
    let mut both = Both::with(50, b"da");
    let separators: [&[u8]; 2] = [b"=", b"longer"];
    let mut need = Until::new(Separators::Several(&separators)).unwrap();
    assert_eq!(both.attempt(&mut need), Attempt::Wait(56));
    both.feed(b"ta=");
    assert_eq!(both.read(need), b"data=");
}

/// A need that looked at bytes once does not look at them again: what changes there goes unseen.
#[test]
fn st_034_scanning_goes_on_where_it_was() {
    let mut need = Until::new(Separators::One(b"AB")).unwrap();
    assert!(matches!(need.look(b"xxxxA", 100), millrun_protocol::inbox::Look::More(_)));
    let look = need.look(b"ABxxABx", 100);
    assert_eq!(look, millrun_protocol::inbox::Look::Take(6));
}

/// ST-035, ST-036, ST-037, ST-038.
#[test]
fn st_036_an_exact_read_waits_for_all_and_ignores_the_limit() {
    let mut both = Both::new(3);
    assert_eq!(both.read(Exact(0)), b"");
    let mut need = Exact(6);
    assert_eq!(both.attempt(&mut need), Attempt::Wait(6));
    both.feed(b"1234");
    assert_eq!(both.attempt(&mut need), Attempt::Wait(6));
    both.feed(b"5678");
    assert_eq!(both.read(need), b"123456");
    assert_eq!(both.left(), b"78");
    assert_eq!(Exact(6).at_end(2), AtEnd::Incomplete(Some(6)));
}

#[test]
fn a_peek_takes_nothing() {
    let mut both = Both::with(10, b"abc");
    assert_eq!(both.attempt(&mut Peek), Attempt::Shown);
    assert_eq!(both.inbox.unread(), b"abc");
    both.feed(b"def");
    assert_eq!(both.attempt(&mut Peek), Attempt::Shown);
    assert_eq!(both.inbox.unread(), b"abcdef");
    assert_eq!(both.left(), b"abcdef");
}

/// D-01: ST-040, with lent bytes counted.
#[test]
fn st_040_a_landing_is_never_offered_more_than_the_room() {
    let mut both = Both::new(10);
    let (mut chunk, most) = both.intake.landing(&both.blocks).unwrap();
    assert_eq!(most, 20);
    chunk.tail()[..20].copy_from_slice(&[b'x'; 20]);
    both.intake.landed(chunk, 20, &both.blocks);
    assert!(both.intake.landing(&both.blocks).is_none());
    // The lent bytes are the reader's until its next call.
    assert_eq!(both.read(UpTo(15)).len(), 15);
    assert_eq!(both.intake.room(), 0);
    assert_eq!(both.read(UpTo(2)).len(), 2);
    assert_eq!(both.intake.room(), 15);
}

#[test]
fn a_block_that_filled_earns_a_large_one() {
    let mut both = Both::new(65_536);
    let mut receive = |available: usize| {
        let (chunk, most) = both.intake.landing(&both.blocks).unwrap();
        let n = available.min(most);
        both.intake.landed(chunk, n, &both.blocks);
        let mut need = UpTo(usize::MAX);
        assert_eq!(both.inbox.attempt(&mut need, &both.intake, &both.blocks), Attempt::Taken(n));
        n
    };
    assert_eq!(receive(65_536), SMALL_BLOCK);
    assert_eq!(receive(65_536), LARGE_BLOCK);
    assert_eq!(receive(1024), 1024);
    assert_eq!(receive(65_536), SMALL_BLOCK);
}

#[test]
fn a_reader_that_keeps_up_allocates_nothing() {
    let mut both = Both::new(65_536);
    for _ in 0..100 {
        let (chunk, _) = both.intake.landing(&both.blocks).unwrap();
        both.intake.landed(chunk, 3000, &both.blocks);
        assert_eq!(both.read(UpTo(65_536)).len(), 3000);
        assert_eq!(both.attempt(&mut UpTo(65_536)), Attempt::Wait(1));
    }
    assert_eq!(both.blocks.counts(BlockSize::Small).made, 1);
    assert_eq!(both.blocks.counts(BlockSize::Large).made, 0);
}

#[test]
fn one_big_read_does_not_keep_a_connection_big() {
    let mut both = Both::new(1000);
    let mut need = Exact(500_000);
    while let Attempt::Wait(_) = both.attempt(&mut need) {
        let (chunk, most) = both.intake.landing(&both.blocks).unwrap();
        both.intake.landed(chunk, most, &both.blocks);
    }
    assert_eq!(both.inbox.lent(500_000).len(), 500_000);
    assert!(both.inbox.capacity() >= 500_000);
    both.feed(b"abc");
    assert_eq!(both.attempt(&mut Exact(4)), Attempt::Wait(4));
    assert!(both.inbox.capacity() + both.intake.capacity() <= LARGE_BLOCK);
}

/// The same with a rest that keeps the memory in use: before a wait, and before more is joined to it.
#[test]
fn the_rest_of_a_big_read_moves_to_a_block() {
    let big = || {
        let mut both = Both::with(1000, &[b'x'; 500_000]);
        assert_eq!(both.read(UpTo(499_990)).len(), 499_990);
        both
    };
    let mut both = big();
    assert_eq!(both.attempt(&mut Exact(11)), Attempt::Wait(11));
    assert_eq!(both.intake.capacity() + both.inbox.capacity(), LARGE_BLOCK);
    assert_eq!(both.left(), [b'x'; 10]);

    let mut both = big();
    both.feed(b"y");
    assert_eq!(both.read(Exact(11)), b"xxxxxxxxxxy");
    assert_eq!(both.intake.capacity() + both.inbox.capacity(), LARGE_BLOCK);
}

/// A transport that lets bytes land out of turn: those come behind the ones of the landing.
#[test]
fn what_is_fed_during_a_landing_comes_after_it() {
    let mut both = Both::with(100, b"a");
    let (mut chunk, _) = both.intake.landing(&both.blocks).unwrap();
    both.feed(b"cd");
    chunk.tail()[0] = b'b';
    both.intake.landed(chunk, 1, &both.blocks);
    assert_eq!(both.left(), b"abcd");
    assert_eq!(both.blocks.counts(BlockSize::Small).kept, 1);
}

#[test]
fn clearing_gives_the_memory_back() {
    let mut both = Both::with(1000, b"abcdef");
    assert_eq!(both.read(UpTo(3)), b"abc");
    both.feed(b"ghi");
    both.inbox.clear(&both.intake, &both.blocks);
    assert_eq!(both.blocks.counts(BlockSize::Small).kept, 2);
    assert_eq!((both.left(), both.intake.room()), (Vec::new(), 2000));
}

/// The words of the errors, and what they don't show: bytes.
#[test]
fn errors_say_what_was_expected_and_what_came() {
    let exact = IncompleteRead { partial: b"secret".to_vec(), expected: Some(10) };
    assert_eq!(exact.to_string(), "expected 10 bytes, got 6 and the end of file");
    let text = format!("{exact:?}");
    assert_eq!(text, "IncompleteRead { partial: 6 bytes, expected: Some(10) }");
    let until = IncompleteRead { partial: b"secret".to_vec(), expected: None };
    assert_eq!(until.to_string(), "expected a separator, got 6 bytes and the end of file");
    let over = |found| LimitOverrun { limit: 7, consumed: 9, found }.to_string();
    assert_eq!(
        over(true),
        "expected a separator within the limit of 7 bytes, got one after 9 bytes"
    );
    assert_eq!(
        over(false),
        "expected a separator within the limit of 7 bytes, got 9 bytes without one"
    );
    let empty = EmptySeparator.to_string();
    assert_eq!(empty, "expected one or more separators of at least one byte");
}

#[test]
fn an_intake_shows_how_much_there_is_and_no_bytes() {
    let both = Both::with(1000, b"secret");
    let text = format!("{:?}", both.intake);
    assert!(text.contains("Chunk(0..6 of 4096)") && text.contains("limit: 1000"), "{text}");
    assert!(!text.contains("secret"));
}
