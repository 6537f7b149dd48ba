//! Where do items stay while their entries are sorted? In [`Slots`], each with the number of its arming.

/// Items by place, and which arming has it. A place that is free again is the next to be taken.
pub(super) struct Slots<T> {
    slots: Vec<Slot<T>>,
    /// Head of the list of free slots; `NONE` when there is none.
    free: u32,
}

struct Slot<T> {
    /// Which arming has it; [`FREE`] and the next free slot when none has.
    seq: u64,
    item: Option<T>,
}

/// Marks a free slot: no arming has such a number.
const FREE: u64 = 1 << 63;

/// No slot: the end of the free list.
const NONE: u32 = u32::MAX;

impl<T> Slots<T> {
    pub(super) const fn new() -> Slots<T> {
        Slots { slots: Vec::new(), free: NONE }
    }

    /// Gives arming `seq` a slot, and the empty place of its item, which the caller must fill at once.
    ///
    /// # Panics
    /// With 2^32 - 1 slots in use.
    #[inline(always)]
    pub(super) fn fill(&mut self, seq: u64) -> (u32, &mut Option<T>) {
        if self.free == NONE {
            self.add();
        }
        let index = self.free;
        let slot = &mut self.slots[index as usize];
        self.free = slot.seq as u32; // cuts off `FREE`
        slot.seq = seq;
        (index, &mut slot.item)
    }

    /// Frees the slot of arming `seq`, if it has it still.
    #[inline]
    pub(super) fn empty(&mut self, index: u32, seq: u64) -> Option<T> {
        let slot = self.slots.get_mut(index as usize)?;
        if slot.seq != seq {
            return None;
        }
        slot.seq = FREE | u64::from(self.free);
        self.free = index;
        slot.item.take()
    }

    /// Arming `seq` has its slot still.
    pub(super) fn has(&self, index: u32, seq: u64) -> bool {
        self.slots.get(index as usize).is_some_and(|slot| slot.seq == seq)
    }

    /// How many slots there are, free ones too.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn into_items(self) -> impl Iterator<Item = T> {
        self.slots.into_iter().filter_map(|slot| slot.item)
    }

    fn add(&mut self) {
        assert!(self.slots.len() < NONE as usize, "2^32 - 1 timers are armed, no more can be");
        self.free = self.slots.len() as u32;
        self.slots.push(Slot { seq: FREE | u64::from(NONE), item: None });
    }
}
