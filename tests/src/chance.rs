//! Numbers that a seed decides.

/// A source of them.
#[derive(Debug)]
pub struct Chance(u64);

impl Chance {
    /// The same numbers for the same seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below a bound.
    pub fn below(&mut self, bound: usize) -> usize {
        let Self(state) = self;
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        usize::try_from(*state >> 32).unwrap_or_default() % bound
    }
}
