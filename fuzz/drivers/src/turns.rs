//! Turns of a loop on a simulated machine: one, until it is at rest, until a time has passed.

use std::time::Duration;

use millrun_loop::EventLoop;
use millrun_sim::Sim;

/// A loop that has not come to rest after so many turns never does: a case queues far fewer callbacks.
const MOST_TURNS: usize = 100_000;

/// One turn without waiting. False when there was nothing to do.
pub(crate) fn turn(event_loop: &mut EventLoop) -> bool {
    match event_loop.turn(Some(Duration::ZERO)) {
        Ok(ran) => ran,
        Err(error) => panic!("the turn failed: {error}"),
    }
}

/// Turns until there is nothing to do.
pub(crate) fn settle(event_loop: &mut EventLoop, sim: &Sim) {
    let comes_to_rest = (0..MOST_TURNS).any(|_| !turn(event_loop));
    assert!(comes_to_rest, "the loop never comes to rest: {sim:?}");
}

/// Lets time pass, and what happens in it.
pub(crate) fn pass(event_loop: &mut EventLoop, sim: &Sim, time: Duration) {
    let until = sim.now() + time;
    settle(event_loop, sim);
    loop {
        let events = [event_loop.next_deadline(), sim.next_event()];
        let Some(next) = events.into_iter().flatten().min().filter(|next| *next < until) else {
            break;
        };
        sim.advance_to(next);
        settle(event_loop, sim);
    }
    sim.advance_to(until);
    settle(event_loop, sim);
}
