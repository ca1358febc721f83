//! Rows by a key, and whether they changed since they were looked at last. Pure data.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};

/// Rows by id or name; whoever may change them is taken to have done so, which is what screens sort again for.
#[derive(Debug)]
pub struct Rows<T> {
    rows: BTreeMap<String, T>,
    revision: u64,
}

impl<T> Rows<T> {
    /// Another number after each change.
    pub fn revision(&self) -> u64 {
        self.revision
    }
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Rows { rows: BTreeMap::new(), revision: 0 }
    }
}

impl<T> Deref for Rows<T> {
    type Target = BTreeMap<String, T>;

    fn deref(&self) -> &Self::Target {
        &self.rows
    }
}

impl<T> DerefMut for Rows<T> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.revision += 1;
        &mut self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_changes_no_revision_and_changing_does() {
        let mut rows: Rows<u8> = Rows::default();
        assert!(rows.get("a").is_none());
        assert_eq!(rows.revision(), 0);
        rows.insert("a".into(), 1);
        assert_eq!((rows.revision(), rows.len()), (1, 1));
    }
}
