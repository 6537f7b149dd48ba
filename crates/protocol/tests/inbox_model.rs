//! The inbox against a plain `Vec`: whatever lands in whatever pieces, and whichever reads are given up,
//! the same bytes come out in the same order, within the bound.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod model;

use millrun_loop::BlockPool;
use millrun_protocol::inbox::{AtEnd, Attempt, Exact, Inbox, Intake, Need, Separators, Until};
use model::{Both, SEPARATORS, Step, Want, until};
use proptest::prelude::*;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let size = prop_oneof![0usize..6, 0usize..40, 0usize..9000, 0usize..150_000];
    let size2 = size.clone();
    let size3 = size.clone();
    let receive = prop_oneof![1usize..4, 1usize..5000, Just(usize::MAX)];
    prop::collection::vec(
        prop_oneof![
            3 => (size.clone(), receive).prop_map(|(n, piece)| Step::Arrive(n, piece)),
            1 => (0usize..5000).prop_map(Step::Feed),
            2 => size2.prop_map(Step::UpTo),
            1 => size3.prop_map(Step::Exact),
            2 => Just(Step::Line),
            2 => (0..SEPARATORS.len()).prop_map(Step::Until),
            1 => Just(Step::Peek),
            2 => Just(Step::Again),
            1 => Just(Step::PassOn),
        ],
        1..60,
    )
}

fn limits() -> impl Strategy<Value = usize> {
    prop_oneof![1usize..4, 1usize..100, 1000usize..6000, Just(65_536), 100_000usize..200_000]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// ST-006, ST-017 to ST-037, ST-046; invariants 6 and 8.
    #[test]
    fn st_046_any_steps_give_the_bytes_of_the_model(limit in limits(), steps in steps()) {
        let mut both = Both::new(limit);
        for step in &steps {
            both.step(step);
        }
        both.finish();
    }

    /// A waiting exact read of any size is fed to its end under any limit (E-007).
    #[test]
    fn e_007_an_exact_read_of_any_size_ends(limit in limits(), n in 1usize..300_000, piece in 1usize..9000) {
        let mut both = Both::new(limit);
        let data = both.bytes(2 * limit);
        both.arrive(&data, usize::MAX);
        let mut need = Exact(n);
        let mut turns = 0;
        loop {
            match both.inbox.attempt(&mut need, &both.intake, &both.blocks) {
                Attempt::Taken(taken) => break prop_assert_eq!(taken, n),
                Attempt::Wait(want) => both.want = want,
                other => prop_assert!(false, "{other:?}"),
            }
            let before = both.model.len();
            let data = both.bytes(piece);
            both.arrive(&data, usize::MAX);
            prop_assert!(both.model.len() > before, "no room for a waiting read");
            turns += 1;
            prop_assert!(turns <= n);
        }
        prop_assert!(both.inbox.lent(n) == &both.model[..n]);
    }

    /// Pieces don't matter: ST-025, ST-034.
    #[test]
    fn st_025_a_separator_split_over_any_chunks_is_found(
        data in prop::collection::vec(prop::sample::select(b"ab\r\n".to_vec()), 0..60),
        cuts in prop::collection::vec(1usize..5, 60),
        which in 0..SEPARATORS.len(),
    ) {
        let blocks = BlockPool::new();
        let intake = Intake::new(1000).unwrap();
        let mut inbox = Inbox::default();
        let mut need = Until::new(Separators::Several(SEPARATORS[which])).unwrap();
        let expected = until(&data, SEPARATORS[which], 1000);
        let mut fed = 0;
        let mut cuts = cuts.into_iter();
        loop {
            match inbox.attempt(&mut need, &intake, &blocks) {
                Attempt::Taken(taken) => {
                    prop_assert!(matches!(expected, Want::Take(n) if n == taken));
                    prop_assert!(inbox.lent(taken) == &data[..taken]);
                    break;
                }
                Attempt::Wait(_) if fed == data.len() => {
                    prop_assert!(matches!(expected, Want::Wait));
                    prop_assert_eq!(need.at_end(fed), AtEnd::Incomplete(None));
                    break;
                }
                Attempt::Wait(_) => {
                    let next = (fed + cuts.next().unwrap()).min(data.len());
                    intake.feed(&data[fed..next], &blocks);
                    fed = next;
                }
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }
}
