//! The table of tasks: places with generations. Pure bookkeeping: runs and drops nothing of a
//! stranger's, but hands it out.

use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Waker;

use super::spawn::AnyTask;
use super::{Polled, ROOT, TaskWaker};
use crate::remote::Shared;

pub(crate) type BoxedTask = Pin<Box<dyn AnyTask>>;

#[derive(Default)]
pub(crate) struct TaskTable {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

struct Slot {
    /// Which task is meant: changes each time the place is freed.
    generation: u32,
    stage: Stage,
    /// Nobody holds the `JoinHandle`: the place is freed when the task ends.
    detached: bool,
    /// `None` also while the task is polled: it is on the stack then.
    task: Option<BoxedTask>,
    /// Stays when the task is over: if no clone of it is left, the next task here uses it again.
    waker: Option<Arc<TaskWaker>>,
    /// Who awaits the `JoinHandle`.
    joiner: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Free,
    Running,
    /// It runs, and is to be dropped in its turn.
    Aborted,
    /// The output waits for the `JoinHandle`.
    Finished,
}

impl Stage {
    const fn is_running(self) -> bool {
        matches!(self, Stage::Running | Stage::Aborted)
    }
}

/// A task as its loop's driver sees it: [`LoopHandle::tasks`](crate::LoopHandle::tasks).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct TaskInfo {
    /// The type of its future.
    pub name: &'static str,
    /// Where it was spawned.
    pub spawned_at: &'static Location<'static>,
    /// It is over, and its output waits to be joined.
    pub is_finished: bool,
}

/// What must be done outside the table when a task was polled.
#[derive(Default)]
pub(crate) struct After {
    /// A task that is over, to be dropped.
    pub(crate) over: Option<BoxedTask>,
    /// To be woken.
    pub(crate) joiner: Option<Waker>,
}

/// What a `JoinHandle` finds.
pub(crate) enum Joined {
    Running,
    Finished(BoxedTask),
    /// The loop closed, or the output was taken.
    Gone,
}

impl TaskTable {
    /// A place for a new task, with its waker; fill it next.
    pub(crate) fn reserve(&mut self, shared: &Arc<Shared>, detached: bool) -> (u32, u32, Waker) {
        let index = self.free.pop().unwrap_or_else(|| self.grow());
        let slot = &mut self.slots[index as usize];
        slot.stage = Stage::Running;
        slot.detached = detached;
        let generation = slot.generation;
        match slot.waker.as_mut().and_then(Arc::get_mut) {
            Some(waker) => waker.reuse(generation),
            None => slot.waker = None,
        }
        let new = || Arc::new(TaskWaker::new(index, generation, shared));
        let waker = Arc::clone(slot.waker.get_or_insert_with(new));
        (index, generation, Waker::from(waker))
    }

    pub(crate) fn fill(&mut self, index: u32, task: BoxedTask) {
        self.slots[index as usize].task = Some(task);
    }

    /// Takes a woken task out to be polled. `None` if it is over, or was aborted.
    #[inline]
    pub(crate) fn begin_poll(
        &mut self,
        index: u32,
        generation: u32,
        polled: &Polled,
    ) -> Option<BoxedTask> {
        let slot = self.slots.get_mut(index as usize)?;
        if slot.generation != generation || slot.stage != Stage::Running {
            return None;
        }
        let waker = slot.waker.as_ref()?;
        waker.begin_poll();
        polled.begin(index);
        slot.task.take()
    }

    /// Takes a woken task out to be dropped, if it was aborted.
    pub(crate) fn take_aborted(&mut self, index: u32, generation: u32) -> Option<BoxedTask> {
        let slot = self.slot_mut(index, generation)?;
        if slot.stage == Stage::Aborted { slot.task.take() } else { None }
    }

    /// The waker of the task at this place, if there is or was one.
    pub(crate) fn waker_at(&self, index: u32) -> Option<Arc<TaskWaker>> {
        self.slots.get(index as usize)?.waker.clone()
    }

    /// Puts a task back that is not over.
    #[inline]
    pub(crate) fn put_back(&mut self, index: u32, task: BoxedTask) {
        // It was taken out: there is none to be dropped.
        std::mem::forget(self.slots[index as usize].task.replace(task));
    }

    /// Puts a task back that is over: its output waits for the `JoinHandle`, or it is handed out.
    pub(crate) fn end(&mut self, index: u32, task: BoxedTask) -> After {
        if self.end_detached(index) {
            return After { over: Some(task), joiner: None };
        }
        let slot = &mut self.slots[index as usize];
        slot.task = Some(task);
        slot.stage = Stage::Finished;
        After { over: None, joiner: slot.joiner.take() }
    }

    /// Frees the place of a task that is over, if nobody holds its `JoinHandle`. False if somebody does: then
    /// [`end`](Self::end) is the place.
    #[inline]
    pub(crate) fn end_detached(&mut self, index: u32) -> bool {
        let is_detached = self.slots[index as usize].detached;
        if is_detached {
            self.release(index); // who is detached has no joiner
        }
        is_detached
    }

    /// For a `JoinHandle` that is polled. Hands out the waker that was there before.
    pub(crate) fn join(
        &mut self,
        index: u32,
        generation: u32,
        waker: &Waker,
    ) -> (Joined, Option<Waker>) {
        let Some(slot) = self.slot_mut(index, generation) else { return (Joined::Gone, None) };
        if slot.stage == Stage::Finished {
            let task = slot.task.take();
            let joiner = self.release(index);
            return (task.map_or(Joined::Gone, Joined::Finished), joiner);
        }
        if slot.joiner.as_ref().is_some_and(|joiner| joiner.will_wake(waker)) {
            return (Joined::Running, None);
        }
        (Joined::Running, slot.joiner.replace(waker.clone()))
    }

    /// For a `JoinHandle` that is dropped: hands out what is not needed any more.
    pub(crate) fn detach(&mut self, index: u32, generation: u32) -> After {
        let Some(slot) = self.slot_mut(index, generation) else { return After::default() };
        slot.detached = true;
        if slot.stage != Stage::Finished {
            return After { over: None, joiner: slot.joiner.take() };
        }
        let over = slot.task.take();
        let joiner = self.release(index);
        After { over, joiner }
    }

    /// Marks a task that still runs; it must then be woken, to be dropped in its turn.
    pub(crate) fn abort(&mut self, index: u32, generation: u32) -> Option<Arc<TaskWaker>> {
        let slot = self.slot_mut(index, generation)?;
        if slot.stage != Stage::Running {
            return None;
        }
        slot.stage = Stage::Aborted;
        slot.waker.clone()
    }

    /// The task is over, and its output waits or was taken.
    pub(crate) fn is_finished(&self, index: u32, generation: u32) -> bool {
        !self.slot(index, generation).is_some_and(|slot| slot.stage.is_running())
    }

    /// Takes out all tasks that still run, for a loop that closes: give each to
    /// [`end`](Self::end).
    pub(crate) fn take_running(&mut self) -> Vec<(u32, BoxedTask)> {
        let running = self.slots.iter_mut().enumerate().filter(|(_, s)| s.stage.is_running());
        running.filter_map(|(index, slot)| Some((index as u32, slot.task.take()?))).collect()
    }

    /// How many run, or wait to be joined.
    pub(crate) fn live(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// All that run or wait to be joined; not one that is being polled.
    pub(crate) fn infos(&self) -> Vec<TaskInfo> {
        let live = self.slots.iter().filter(|slot| slot.stage != Stage::Free);
        let info = |slot: &Slot| {
            let (name, spawned_at) = slot.task.as_ref()?.describe();
            Some(TaskInfo { name, spawned_at, is_finished: slot.stage == Stage::Finished })
        };
        live.filter_map(info).collect()
    }

    /// The future's type and where it was spawned.
    pub(crate) fn describe(
        &self,
        index: u32,
        generation: u32,
    ) -> Option<(&'static str, &'static Location<'static>)> {
        self.slot(index, generation)?.task.as_ref().map(|task| task.describe())
    }

    fn slot(&self, index: u32, generation: u32) -> Option<&Slot> {
        let slot = self.slots.get(index as usize)?;
        (slot.generation == generation && slot.stage != Stage::Free).then_some(slot)
    }

    fn slot_mut(&mut self, index: u32, generation: u32) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(index as usize)?;
        (slot.generation == generation && slot.stage != Stage::Free).then_some(slot)
    }

    fn grow(&mut self) -> u32 {
        assert!(self.slots.len() < ROOT as usize, "2^32 - 1 tasks live, no more can");
        let index = self.slots.len() as u32;
        self.slots.push(Slot {
            generation: 0,
            stage: Stage::Free,
            detached: false,
            task: None,
            waker: None,
            joiner: None,
        });
        index
    }

    /// Frees a place. What it held is taken out before; a waker that is left is handed out.
    fn release(&mut self, index: u32) -> Option<Waker> {
        let slot = &mut self.slots[index as usize];
        slot.stage = Stage::Free;
        if let Some(waker) = &slot.waker {
            waker.end();
        }
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index);
        slot.joiner.take()
    }
}
