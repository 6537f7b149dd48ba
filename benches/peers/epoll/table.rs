//! Connections by key.

/// Places for connections. A key that is given back is not used again before all events of the wait were handed out, so that
/// none of them reaches a stranger.
#[derive(Debug)]
pub(crate) struct Table<T> {
    places: Vec<Option<T>>,
    free: Vec<usize>,
    left: Vec<usize>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: Vec::new(), left: Vec::new() }
    }
}

impl<T> Table<T> {
    /// The key that the next [`insert`](Self::insert) uses.
    pub(crate) fn next_key(&self) -> usize {
        self.free.last().copied().unwrap_or(self.places.len())
    }

    pub(crate) fn insert(&mut self, value: T) {
        match self.free.pop() {
            Some(key) => self.places[key] = Some(value),
            None => self.places.push(Some(value)),
        }
    }

    pub(crate) fn get_mut(&mut self, key: usize) -> Option<&mut T> {
        self.places.get_mut(key)?.as_mut()
    }

    /// All that are there, with their keys.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut T)> {
        let places = self.places.iter_mut().enumerate();
        places.filter_map(|(key, place)| Some((key, place.as_mut()?)))
    }

    pub(crate) fn remove(&mut self, key: usize) {
        if self.places[key].take().is_some() {
            self.left.push(key);
        }
    }

    /// See [`Shape::settle`](crate::poll::Shape::settle).
    pub(crate) fn settle(&mut self) -> bool {
        let any = !self.left.is_empty();
        self.free.append(&mut self.left);
        any
    }
}
