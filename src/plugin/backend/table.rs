//! Requests under way: a fixed number of places, each with a number that is also the key of the descriptors it has watched.

/// Places for `T`. Taken once; a place more than there are is refused.
pub struct Table<T> {
    places: Vec<Option<T>>,
    free: Vec<u16>,
}

impl<T> Table<T> {
    /// A table of so many places. Allocates all it will ever need.
    pub fn new(places: u16) -> Table<T> {
        let mut empty = Vec::with_capacity(usize::from(places));
        empty.resize_with(usize::from(places), || None);
        Table { places: empty, free: (0..places).rev().collect() }
    }

    /// Adds places, up to so many. Allocates.
    pub fn enlarge(&mut self, places: u16) {
        let before = self.places.len() as u16;
        self.places.resize_with(usize::from(places).max(self.places.len()), || None);
        self.free.extend((before..places).rev());
    }

    /// Bytes of each place.
    pub const fn place_bytes() -> usize {
        size_of::<Option<T>>() + size_of::<u16>()
    }

    /// Whether a place is free.
    pub fn has_room(&self) -> bool {
        !self.free.is_empty()
    }

    /// Takes a place. Err = none is free.
    pub fn insert(&mut self, value: T) -> Result<u16, T> {
        let Some(number) = self.free.pop() else { return Err(value) };
        if let Some(place) = self.places.get_mut(usize::from(number)) {
            *place = Some(value);
        }
        Ok(number)
    }

    /// What is in a place.
    pub fn get(&mut self, number: u16) -> Option<&mut T> {
        self.places.get_mut(usize::from(number))?.as_mut()
    }

    /// What is in a place, to look at.
    pub fn peek(&self, number: u16) -> Option<&T> {
        self.places.get(usize::from(number))?.as_ref()
    }

    /// Takes out what is in a place.
    pub fn remove(&mut self, number: u16) -> Option<T> {
        let value = self.places.get_mut(usize::from(number))?.take()?;
        self.free.push(number);
        Some(value)
    }

    /// How many places are taken.
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All that is in it. Places are taken from the front on: what stands behind the last is not looked at.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u16, &mut T)> {
        let taken = self.len();
        let places = self.places.iter_mut().enumerate();
        places.filter_map(|(number, place)| Some((number as u16, place.as_mut()?))).take(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_taken_given_back_and_refused() {
        let mut table = Table::new(2);
        let (a, b) = (table.insert('a').unwrap(), table.insert('b').unwrap());
        assert_eq!(table.insert('c'), Err('c'));
        assert_eq!((table.len(), table.has_room()), (2, false));
        assert_eq!(table.get(a), Some(&mut 'a'));
        assert_eq!((table.remove(a), table.remove(a), table.get(a)), (Some('a'), None, None));
        let c = table.insert('c').unwrap();
        assert_eq!(c, a);
        assert_eq!(table.iter_mut().map(|(number, _)| number).collect::<Vec<_>>(), [c.min(b), c.max(b)]);
        assert_eq!(
            (table.remove(b), table.remove(c), table.is_empty(), table.remove(9)),
            (Some('b'), Some('c'), true, None)
        );
    }
}
