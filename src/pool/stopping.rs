//! How far the end of a run has come for what a slot keeps: nothing, no work is left, or the run is being stopped.

use crate::words::cancel::Level;

#[derive(Debug)]
pub struct Stopping {
    pub level: Level,
    /// Why the run is being stopped, once it is.
    pub why: String,
    /// No work is left anywhere.
    pub finishing: bool,
}

impl Stopping {
    pub fn new() -> Stopping {
        Stopping { level: Level::Run, why: String::new(), finishing: false }
    }

    /// The run is being stopped. Returns whether that is news. The first reason stays.
    pub fn cancel(&mut self, level: Level, why: &str) -> bool {
        let is_news = level > self.level;
        if is_news {
            self.level = level;
            if self.why.is_empty() {
                why.clone_into(&mut self.why);
            }
        }
        is_news
    }

    /// No work is left anywhere. Returns whether that is news.
    pub fn finish(&mut self) -> bool {
        !std::mem::replace(&mut self.finishing, true)
    }

    /// Whether neither a stop nor the end of all work has been ordered.
    pub fn goes_on(&self) -> bool {
        self.level == Level::Run && !self.finishing
    }
}
