//! Product names, each stored once.

use api::{InvalidValue, ProductName};
use rustc_hash::FxHashMap;

/// The position of a name in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NameIndex(u32);

/// The names of all products that were ever ordered. Only the operator of the catalog decides how
/// many there are, not its clients.
#[derive(Debug, Default)]
pub(super) struct Names {
    list: Vec<ProductName>,
    index: FxHashMap<ProductName, NameIndex>,
}

impl Names {
    pub(super) fn get(&self, index: NameIndex) -> &ProductName {
        &self.list[index.0 as usize]
    }

    pub(super) fn intern(&mut self, name: &ProductName) -> NameIndex {
        self.index.get(name).copied().unwrap_or_else(|| self.add(name.clone()))
    }

    /// Like [`Names::intern`], but checks names that are new.
    pub(super) fn intern_text(&mut self, name: &str) -> Result<NameIndex, InvalidValue> {
        match self.index.get(name) {
            Some(index) => Ok(*index),
            None => Ok(self.add(ProductName::recorded(name)?)),
        }
    }

    fn add(&mut self, name: ProductName) -> NameIndex {
        let index = NameIndex(u32::try_from(self.list.len()).expect("fewer than 2^32 products"));
        self.list.push(name.clone());
        self.index.insert(name, index);
        index
    }
}
