//! `SocketTransport` on a simulated machine: whatever is called from wherever, and whatever the peer and the kernel do, the
//! callbacks come in order, `connection_lost` once, no byte is lost, and nothing is left.
//!
//! The bytes say what happens to two connections of one loop, and what each of their callbacks does.

mod actor;
mod script;
mod side;
mod world;

pub use script::Case;
use world::World;

/// Does what the case says, then ends both connections; looks at them after each step.
pub fn run(case: Case) {
    let Ok(mut world) = World::new(case.scripts) else { return };
    for (which, step) in case.steps {
        world.step(which, step);
    }
    world.finish(case.end);
}
