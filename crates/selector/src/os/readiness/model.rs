//! The table against a model that looks at everything each time.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// One step of a life: registrations, edges, what sockets do to their cells, selects.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// With bits that the cell has already: a socket that was registered elsewhere before. By the kernel's level or by
    /// its edges.
    InsertOwned(Interest, Readiness, bool),
    InsertForeign(Interest),
    /// The nth of all keys that there ever were: also those that are gone.
    Remove(usize),
    SetInterest(usize, Interest),
    Edge(usize, Readiness),
    ClearReadable(usize),
    ClearWritable(usize),
    Select,
}

fn interest() -> impl Strategy<Value = Interest> {
    prop::sample::select(vec![Interest::NONE, Interest::READ, Interest::WRITE, Interest::BOTH])
}

fn bits() -> impl Strategy<Value = Readiness> {
    let all = [
        Readiness::READABLE,
        Readiness::WRITABLE,
        Readiness::READ_CLOSED,
        Readiness::WRITE_CLOSED,
        Readiness::ERROR,
    ];
    prop::sample::subsequence(all.to_vec(), 0..=5)
        .prop_map(|some| some.into_iter().fold(Readiness::NONE, |a, b| a | b))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (interest(), bits(), any::<bool>()).prop_map(|(i, b, level)| Step::InsertOwned(i, b, level)),
        1 => interest().prop_map(Step::InsertForeign),
        2 => any::<usize>().prop_map(Step::Remove),
        4 => (any::<usize>(), interest()).prop_map(|(n, i)| Step::SetInterest(n, i)),
        6 => (any::<usize>(), bits()).prop_map(|(n, b)| Step::Edge(n, b)),
        2 => any::<usize>().prop_map(Step::ClearReadable),
        2 => any::<usize>().prop_map(Step::ClearWritable),
        5 => Just(Step::Select),
    ]
}

struct Known {
    interest: Interest,
    /// `None`: foreign.
    cell: Option<Rc<ReadyCell>>,
    /// What the kernel has to say of it at the next select.
    edge: Option<Readiness>,
}

impl Known {
    fn due(&self) -> Readiness {
        let known = self.cell.as_ref().map_or(Readiness::NONE, |cell| cell.get());
        (known | self.edge.unwrap_or_default()).wanted(self.interest)
    }
}

#[derive(Default)]
struct World<const APART: bool> {
    table: Table<APART>,
    alive: BTreeMap<(u32, u32), Known>,
    /// The edges of the last select.
    edges: Vec<usize>,
    keys: Vec<Key>,
}

impl<const APART: bool> World<APART> {
    fn key(&self, n: usize) -> Option<Key> {
        (!self.keys.is_empty()).then(|| self.keys[n % self.keys.len()])
    }

    fn known(&mut self, n: usize) -> Option<&mut Known> {
        let key = self.key(n)?;
        self.alive.get_mut(&(key.index, key.generation))
    }

    fn insert(&mut self, interest: Interest, cell: Option<Rc<ReadyCell>>, is_level: bool) {
        let key = self.table.next_key().unwrap();
        assert!(!self.keys.contains(&key), "a name was given twice");
        let link = match &cell {
            Some(_) if is_level => Link::Level,
            Some(_) => Link::Owned,
            None if interest.is_none() => Link::Parked,
            None => Link::Armed,
        };
        self.table.insert(key, cell.clone(), 0, interest, link);
        self.keys.push(key);
        let known = Known { interest, cell, edge: None };
        self.alive.insert((key.index, key.generation), known);
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::InsertOwned(interest, bits, is_level) => {
                let cell = Rc::new(ReadyCell::new());
                cell.set(bits);
                self.insert(interest, Some(cell), is_level);
            }
            Step::InsertForeign(interest) => self.insert(interest, None, false),
            Step::Remove(n) => {
                let Some(key) = self.key(n) else { return };
                let was = self.alive.remove(&(key.index, key.generation)).is_some();
                assert_eq!(self.table.remove(key).is_some(), was);
            }
            Step::SetInterest(n, interest) => {
                let Some(key) = self.key(n) else { return };
                match self.known(n) {
                    Some(Known { cell: None, .. }) => {} // Not the table's business alone.
                    Some(known) => {
                        known.interest = interest;
                        assert!(self.table.set_interest(key, interest));
                    }
                    None => assert!(!self.table.set_interest(key, interest)),
                }
            }
            Step::Edge(n, bits) => {
                if let Some(known) = self.known(n) {
                    known.edge = Some(known.edge.unwrap_or_default() | bits);
                }
            }
            Step::ClearReadable(n) => self.clear(n, ReadyCell::clear_readable),
            Step::ClearWritable(n) => self.clear(n, ReadyCell::clear_writable),
            Step::Select => self.select(),
        }
    }

    fn clear(&mut self, n: usize, clear: impl Fn(&ReadyCell)) {
        if let Some(Known { cell: Some(cell), .. }) = self.known(n) {
            clear(cell);
        }
    }

    /// What a selector does: what stands, then edges. An edge may come in two parts, where the kernel does that; and
    /// some are for keys that are gone.
    fn table_select(&mut self) -> (Vec<Event>, Vec<Key>) {
        let (mut events, mut reported) = (Vec::new(), Vec::new());
        self.table.settle(self.edges.iter().copied());
        self.edges.clear();
        let standing = self.table.report_standing(&mut events);
        assert_eq!(standing, events.len());
        let mut is_stale = false;
        let apart = [Interest::READ, Interest::WRITE];
        let parts = if APART { &apart[..] } else { &[Interest::BOTH] };
        for (part, &key) in parts.iter().flat_map(|part| self.keys.iter().map(move |k| (part, k))) {
            let known = self.alive.get(&(key.index, key.generation));
            let bits = known.map_or(Some(Readiness::READABLE), |known| known.edge);
            let Some(bits) = bits.map(|bits| bits.wanted(*part)) else { continue };
            self.edges.push(Name::of(key).token());
            match self.table.edge(Name::of(key).token(), bits, &mut events) {
                Edge::Done => {}
                Edge::Again => is_stale = true,
                Edge::Foreign(key) => {
                    self.table.foreign_edge(key, bits, &mut events, &mut reported);
                }
                Edge::InVain(key) => {
                    let entry = self.table.get(key).unwrap();
                    assert_eq!((entry.link, entry.due()), (Link::Level, Readiness::NONE));
                }
            }
        }
        if is_stale {
            self.table.refresh(&mut events);
        }
        (events, reported)
    }

    fn select(&mut self) {
        let mut expected: Vec<_> = self
            .alive
            .iter()
            .map(|(&key, known)| (key, known.due()))
            .filter(|(_, due)| !due.is_none())
            .collect();
        let (events, reported) = self.table_select();
        let mut told: Vec<_> =
            events.iter().map(|e| ((e.key.index, e.key.generation), e.readiness)).collect();
        told.sort_by_key(|(key, _)| *key);
        expected.sort_by_key(|(key, _)| *key);
        assert_eq!(told, expected, "each key that is due once, and no other");
        for (key, known) in &mut self.alive {
            if known.cell.is_none() {
                let is_told = expected.iter().any(|(k, _)| k == key);
                let key = Key { index: key.0, generation: key.1 };
                assert_eq!(reported.contains(&key), is_told);
                if let Some(entry) = self.table.get_mut(key).filter(|_| is_told) {
                    assert_eq!(entry.link, Link::Reported);
                    entry.link = Link::Armed;
                }
            }
            known.edge = None;
        }
        // Work is O(ready): what is not due has left the list.
        let entries = self.table.entries.iter();
        let looked_at = entries.filter(|entry| entry.listed != Listed::No).count();
        let due = told.len() - reported.len();
        let expected = if APART { due..=due } else { 0..=due };
        assert!(expected.contains(&looked_at), "only owned ones that are due, {due}: {looked_at}");
        assert!(self.table.hot.len() <= looked_at, "nothing is in the list twice");
    }
}

fn live<const APART: bool>(steps: &[Step]) {
    let mut world = World::<APART>::default();
    for step in steps {
        world.apply(*step);
    }
    world.select();
}

proptest! {
    /// SEL-010, SEL-015, and the invariant of the hot list.
    #[test]
    fn the_hot_list_reports_what_looking_at_everything_would(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        live::<false>(&steps);
        live::<true>(&steps);
    }
}

/// What the selector asks of an entry, and tells it.
#[test]
fn an_entry_tells_how_the_kernel_stands_to_it() {
    let (cell, another) = (Rc::new(ReadyCell::new()), Rc::new(ReadyCell::new()));
    let mut table = Table::<false>::default();
    let owned = table.next_key().unwrap();
    table.insert(owned, Some(cell.clone()), 3, Interest::READ, Link::Level);
    cell.set_told_again(true);
    let entry = table.get_mut(owned).unwrap();
    assert!(entry.is_owned() && entry.shares(&cell) && !entry.shares(&another));
    assert!(!entry.is_told_in_vain(), "somebody wants to hear it");
    entry.interest = Interest::WRITE;
    assert!(entry.is_told_in_vain());
    entry.is_told_of_edges();
    assert!(entry.is_owned() && !entry.is_told_in_vain() && !cell.is_told_again());

    let foreign = table.next_key().unwrap();
    table.insert(foreign, None, 4, Interest::NONE, Link::Parked);
    let entry = table.get(foreign).unwrap();
    assert!(!entry.is_owned() && !entry.shares(&cell) && !entry.is_told_in_vain());
    assert!(table.any(|entry| entry.fd == 4) && !table.any(|entry| entry.fd == 5));
}
