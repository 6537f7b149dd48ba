//! Whose turn is it, and when does time pass?
//!
//! Loops that have something to do are turned, in passes: who has it at the beginning of a pass, in an order that the
//! seed decides. When none has, the clock moves to the next timer, packet or appointment. Nobody else moves it.

use std::rc::Rc;
use std::time::Duration;

use millrun_loop::EventLoop;
use millrun_selector::Time;

use crate::host::{Ending, HostState};
use crate::note;
use crate::world::World;
use crate::{HostReport, Report, WorldError, WorldErrorKind};

pub(crate) fn run(world: &World) -> Result<Report, WorldError> {
    let result = run_to_the_end(world).and_then(|()| {
        let ended_at = world.now();
        wind_down(world)?;
        let report = Report { seed: world.seed(), ended_at, hosts: reports(world) };
        check_leaks(world, |host| !host.is_background && host.is_done)?;
        Ok(report)
    });
    close_all(world);
    let report = result?;
    check_panics(world)?;
    // A loop that is closed holds nothing. What is there is held by somebody else.
    check_leaks(world, |host| host.sockets > 0 || host.registrations > 0)?;
    Ok(report)
}

fn run_to_the_end(world: &World) -> Result<(), WorldError> {
    loop {
        settle(world)?;
        if hosts(world).iter().all(|host| host.is_done() || host.background.get()) {
            return Ok(());
        }
        match next_moment(world) {
            None => return Err(error(world, WorldErrorKind::Deadlock)),
            Some(next) if next > Time::ZERO + world.inner.time_limit.get() => {
                return Err(error(world, WorldErrorKind::TimeLimit));
            }
            Some(next) => world.sim().advance_to(next),
        }
    }
}

/// Lets hosts that are done end what they have begun: a connection that is closing, a task that waits.
fn wind_down(world: &World) -> Result<(), WorldError> {
    let last = world.now() + WIND_DOWN;
    let is_over = |host: &HostReport| host.is_background || host.is_empty();
    while !reports(world).iter().all(is_over) {
        match next_moment(world) {
            Some(next) if next <= last => world.sim().advance_to(next),
            _ => return Ok(()),
        }
        settle(world)?;
    }
    Ok(())
}

/// Keeps appointments and turns loops until nobody has anything to do at this moment.
fn settle(world: &World) -> Result<(), WorldError> {
    let mut passes: u32 = 0;
    loop {
        let kept = keep_appointments(world);
        check_panics(world)?; // a host that an appointment ended
        let mut ready: Vec<_> = hosts(world).into_iter().filter(has_work).collect();
        if ready.is_empty() && !kept {
            return Ok(());
        }
        // Appointments made for this very moment come before its turns, too.
        if kept {
            ready.clear();
        }
        passes += 1;
        if passes > world.inner.most_passes.get() {
            let host = ready.first().map_or("the schedule", |host| &host.name).to_owned();
            return Err(error(world, WorldErrorKind::Livelock { host }));
        }
        shuffle(world, &mut ready);
        for host in ready {
            turn(world, &host)?;
        }
        world.inner.log.drain();
    }
}

/// Those that are due now; what they make themselves for this moment is for the next pass. True if there was one.
fn keep_appointments(world: &World) -> bool {
    let mut due = Vec::new();
    {
        let mut schedule = world.inner.schedule.borrow_mut();
        while let Some(next) = schedule.first_entry().filter(|next| next.key().0 <= world.now()) {
            due.push(next.remove());
        }
    }
    let kept = !due.is_empty();
    for action in due {
        action(world);
    }
    kept
}

fn has_work(host: &Rc<HostState>) -> bool {
    let event_loop = host.event_loop.borrow();
    let Some(event_loop) = event_loop.as_ref() else { return false };
    let is_due = |deadline: Time| deadline <= event_loop.handle().now();
    event_loop.has_ready() || host.sim.is_ready() || event_loop.next_deadline().is_some_and(is_due)
}

fn turn(world: &World, host: &Rc<HostState>) -> Result<(), WorldError> {
    // It is not borrowed while it turns: a host may ask the world about itself.
    let Some(mut event_loop) = host.event_loop.take() else { return Ok(()) };
    let turned = {
        let _here = note::enter(&world.inner.log, &host.name);
        event_loop.turn(Some(Duration::ZERO))
    };
    if host.crashed_in_turn.take() {
        let _here = note::enter(&world.inner.log, &host.name);
        drop(event_loop);
    } else {
        *host.event_loop.borrow_mut() = Some(event_loop);
    }
    let name = || host.name.to_string();
    if let Err(why) = turned {
        return Err(error(world, WorldErrorKind::Loop { host: name(), error: why }));
    }
    match host.ending() {
        None => Ok(()),
        Some(Ending::Well) => {
            world.inner.log.note(&host.name, "is done".to_owned());
            Ok(())
        }
        Some(Ending::Failed(why)) => {
            Err(error(world, WorldErrorKind::Failed { host: name(), error: why }))
        }
        Some(Ending::Panicked(what)) => {
            Err(error(world, WorldErrorKind::Panicked { host: name(), what }))
        }
    }
}

fn next_moment(world: &World) -> Option<Time> {
    let timers = hosts(world)
        .into_iter()
        .filter_map(|host| host.event_loop.borrow().as_ref().and_then(EventLoop::next_deadline));
    let appointment = world.inner.schedule.borrow().first_key_value().map(|((when, _), _)| *when);
    timers.chain(appointment).chain(world.sim().next_event()).min()
}

/// Fisher and Yates, with the driver's own dice.
fn shuffle<T>(world: &World, items: &mut [T]) {
    let mut rng = world.inner.rng.get();
    for last in (1..items.len()).rev() {
        // Below the length of a slice in memory.
        items.swap(last, rng.within(0..last as u64 + 1) as usize);
    }
    world.inner.rng.set(rng);
}

fn close_all(world: &World) {
    for host in hosts(world) {
        let event_loop = host.event_loop.take();
        let _here = note::enter(&world.inner.log, &host.name);
        drop(event_loop);
    }
    // They may hold the world, and nobody else would break that circle.
    let schedule = world.inner.schedule.take();
    drop(schedule);
}

/// What a closing loop ran may have panicked: `connection_lost` of those that were still connected, destructors.
fn check_panics(world: &World) -> Result<(), WorldError> {
    for host in hosts(world) {
        if let Some(what) = host.panicked.take() {
            let host = host.name.to_string();
            return Err(error(world, WorldErrorKind::Panicked { host, what }));
        }
    }
    Ok(())
}

fn check_leaks(world: &World, is_asked: impl Fn(&HostReport) -> bool) -> Result<(), WorldError> {
    if world.inner.leaks_allowed.get() {
        return Ok(());
    }
    let leaky = reports(world).into_iter().find(|host| is_asked(host) && !host.is_empty());
    match leaky {
        None => Ok(()),
        Some(host) => Err(error(world, WorldErrorKind::Leaked { host: host.name })),
    }
}

fn error(world: &World, kind: WorldErrorKind) -> WorldError {
    WorldError {
        seed: world.seed(),
        at: world.now(),
        kind,
        hosts: reports(world),
        events: world.last_events(),
    }
}

fn reports(world: &World) -> Vec<HostReport> {
    let report = |host: Rc<HostState>| HostReport::of(&host, host.event_loop.borrow().as_ref());
    hosts(world).into_iter().map(report).collect()
}

fn hosts(world: &World) -> Vec<Rc<HostState>> {
    world.inner.hosts.borrow().clone()
}

/// How long a host that is done may go on: longer than the 30 s that a stalled close waits.
const WIND_DOWN: Duration = Duration::from_secs(60);
