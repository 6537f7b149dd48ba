//! A protocol is in its slot or on the stack, never both.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use millrun_transport::Protocol;
use millrun_transport::slot::ProtocolSlot;
use proptest::prelude::*;

/// Says its name into a log when it is called or dropped; runs a script when it is called.
struct Named {
    name: usize,
    world: Rc<World>,
    panics_in_drop: bool,
}

#[derive(Default)]
struct World {
    slot: ProtocolSlot,
    called: RefCell<Vec<usize>>,
    dropped: RefCell<Vec<usize>>,
    /// What the next calls do, innermost last.
    script: RefCell<Vec<Step>>,
    names: Cell<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Call whoever is home (from inside a call: nobody, or the newer one).
    Call,
    Set {
        panics_in_drop: bool,
    },
    Panic,
    Return,
}

impl World {
    fn protocol(self: &Rc<World>, panics_in_drop: bool) -> Box<dyn Protocol> {
        self.names.set(self.names.get() + 1);
        Box::new(Named { name: self.names.get(), world: self.clone(), panics_in_drop })
    }

    fn call(&self) -> Option<bool> {
        self.slot.call(|p| p.data_received(b"x").is_ok()).map(|outcome| outcome.unwrap_or(false))
    }

    /// Runs the script until it returns or ends.
    fn run(self: &Rc<World>) {
        loop {
            let Some(step) = self.script.borrow_mut().pop() else { return };
            match step {
                Step::Call => {
                    self.call();
                }
                Step::Set { panics_in_drop } => {
                    let _ = self.slot.set(self.protocol(panics_in_drop));
                }
                Step::Panic => panic!("as told"),
                Step::Return => return,
            }
        }
    }
}

impl Protocol for Named {
    fn data_received(&mut self, _: &[u8]) -> io::Result<()> {
        assert!(!self.world.dropped.borrow().contains(&self.name), "called after its drop");
        self.world.called.borrow_mut().push(self.name);
        self.world.clone().run();
        Ok(())
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        self.world.dropped.borrow_mut().push(self.name);
        assert!(!self.panics_in_drop, "a drop that panics");
    }
}

fn world() -> Rc<World> {
    let world = Rc::new(World::default());
    world.slot.set(world.protocol(false)).unwrap();
    world
}

/// Breaks the cycle of world and protocol.
fn end(world: &World) {
    drop(world.slot.take());
}

#[test]
fn during_a_call_nobody_is_home() {
    let world = world();
    world.script.borrow_mut().push(Step::Call);
    assert_eq!(world.call(), Some(true));
    assert_eq!(*world.called.borrow(), [1], "the inner call found nobody");
    assert!(world.slot.is_home());
    end(&world);
    assert!(!world.slot.is_home());
    assert_eq!(world.call(), None);
}

#[test]
fn p_004_the_newer_protocol_stays_when_the_older_returns() {
    let world = world();
    world.script.borrow_mut().push(Step::Set { panics_in_drop: false });
    assert_eq!(world.call(), Some(true));
    assert_eq!(*world.dropped.borrow(), [1]);
    assert_eq!(world.call(), Some(true));
    assert_eq!(*world.called.borrow(), [1, 2]);
    end(&world);
}

#[test]
fn a_panic_in_a_call_leaves_the_protocol_home() {
    let world = world();
    world.script.borrow_mut().push(Step::Panic);
    let panic = world.slot.call(|p| p.data_received(b"x").is_ok()).unwrap().unwrap_err();
    assert_eq!(panic.to_string(), "as told");
    assert!(world.slot.is_home());
    end(&world);
}

#[test]
fn a_panic_in_the_drop_of_the_replaced_one_is_an_answer() {
    let world = world();
    world.slot.set(world.protocol(true)).unwrap();
    // At home.
    assert_eq!(world.slot.set(world.protocol(true)).unwrap_err().to_string(), "a drop that panics");
    // On the stack.
    world.script.borrow_mut().push(Step::Set { panics_in_drop: false });
    let outcome = world.slot.call(|p| p.data_received(b"x").is_ok()).unwrap();
    assert_eq!(outcome.unwrap_err().to_string(), "a drop that panics");
    assert_eq!(world.call(), Some(true));
    end(&world);
}

#[test]
fn the_text_form_tells_who_is_home() {
    let world = world();
    assert_eq!(format!("{:?}", world.slot), "ProtocolSlot(home)");
    end(&world);
    assert_eq!(format!("{:?}", world.slot), "ProtocolSlot(empty)");
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Call),
        3 => any::<bool>().prop_map(|panics_in_drop| Step::Set { panics_in_drop }),
        1 => Just(Step::Panic),
        2 => Just(Step::Return),
    ]
}

proptest! {
    /// Invariant 9: calls and replacements nested in any way; each protocol is dropped once, the newest stays.
    #[test]
    fn nested_calls_and_replacements(mut script in prop::collection::vec(step(), 0..30)) {
        let world = world();
        script.reverse();
        *world.script.borrow_mut() = script;
        while !world.script.borrow().is_empty() {
            world.call();
        }
        world.call();
        prop_assert_eq!(world.called.borrow().last().copied(), Some(world.names.get()));
        let _ = millrun_loop::catch(|| end(&world));
        let mut dropped = world.dropped.borrow().clone();
        dropped.sort_unstable();
        prop_assert_eq!(dropped, (1..=world.names.get()).collect::<Vec<_>>());
        prop_assert_eq!(Rc::strong_count(&world), 1);
    }
}
