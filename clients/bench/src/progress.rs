//! The bar for whoever waits. It goes to standard error, and only if somebody looks at that.

use indicatif::{ProgressBar, ProgressStyle};

/// How often it is drawn, in microseconds of the engine's clock.
const EVERY: u64 = 200_000;

#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    next: u64,
}

impl Progress {
    /// Something with so many steps.
    pub(crate) fn new(what: &str, steps: u64) -> Self {
        let bar = ProgressBar::new(steps);
        let template = "{msg:24} [{bar:40}] {percent:>3} %  {elapsed}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(what.to_owned());
        Self { bar, next: 0 }
    }

    /// So many steps are done. Cheap, if it is not yet time to draw.
    pub(crate) fn at(&mut self, steps: u64, now: u64) {
        if now >= self.next {
            self.next = now + EVERY;
            self.bar.set_position(steps);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
