//! The kill switch as this node knows it: told to agents, and a reason not to look for work. What decides is the row
//! that every grant reads.

use std::sync::RwLock;

use nexusmon_shared::message::{HaltLevel, HaltNotice};

/// Loaded before any listener opens.
#[derive(Debug, Default)]
pub struct Switch(RwLock<HaltNotice>);

impl Switch {
    pub fn get(&self) -> HaltNotice {
        *self.0.read().expect("no holder panics")
    }

    pub fn is_pulled(&self) -> bool {
        self.get().level != HaltLevel::None
    }

    /// Takes in what was read or written; false if something as new is known.
    pub fn learn(&self, notice: HaltNotice) -> bool {
        let mut known = self.0.write().expect("no holder panics");
        let news = notice.number > known.number;
        if news {
            *known = notice;
        }
        news
    }
}
