//! The client ids that are in use on a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;

/// The client ids of the open producers and consumers of a cluster, and how many use each.
#[derive(Debug, Clone, Default)]
pub(super) struct ClientIds(Arc<Mutex<BTreeMap<String, usize>>>);

/// A use of a client id, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct ClientIdUse {
    ids: ClientIds,
    id: String,
}

impl ClientIds {
    pub(super) fn in_use(&self) -> BTreeSet<String> {
        self.0.lock().keys().cloned().collect()
    }

    pub(super) fn enter(&self, id: Option<&str>) -> Option<ClientIdUse> {
        let id = id?.to_owned();
        *self.0.lock().entry(id.clone()).or_default() += 1;
        Some(ClientIdUse { ids: self.clone(), id })
    }
}

impl Drop for ClientIdUse {
    fn drop(&mut self) {
        let mut ids = self.ids.0.lock();
        if let Some(uses) = ids.get_mut(&self.id) {
            *uses -= 1;
            if *uses == 0 {
                ids.remove(&self.id);
            }
        }
    }
}
