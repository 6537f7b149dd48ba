//! TLS with somebody on the way: a client and a server shake hands and talk, and the records between them are changed, lost, doubled,
//! exchanged, cut and made up.
//!
//! What the other side's application gets is a beginning of what was sent, whatever was done to the records; each connection that was
//! made is lost once; nothing hangs, and nothing is left. The keys are new in each run, so the same case has other bytes on the wire, in records of the
//! same kind and length.

mod end;
mod identity;
mod script;
mod wire;
mod world;

pub use script::Case;
use world::World;

/// Does what the case says, then ends both connections; looks at them after each step.
pub fn run(case: Case) {
    let Ok(mut world) = World::new(case.tls12, case.tolerates) else { return };
    for step in case.steps {
        world.step(step);
    }
    world.finish(case.end);
}
