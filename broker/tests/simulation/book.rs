//! What one session is owed of one channel, and what of it came.

/// A message that was for the session.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    pub number: u32,
    pub position: i64,
    /// The client has read it.
    pub got: bool,
    /// It need not come any more: its loss was told, or no promise covers it.
    pub excused: bool,
    /// A gap told that it may be missing.
    pub told: bool,
    /// It is from before the session, which asked for all that is kept, whatever that is.
    pub optional: bool,
    /// The broker has cause to think that it did not arrive: it may come twice.
    pub again: bool,
    /// It had once: it may be told to be missing.
    pub doubted: bool,
}

/// How many messages came, how many were told to be missing, and how many were lost otherwise.
#[derive(Debug, Default, Clone, Copy)]
pub struct Count {
    pub received: u64,
    pub told: u64,
    pub lost: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Book {
    /// Whether what is published is for the session.
    pub wanted: bool,
    entries: Vec<Entry>,
    /// All before this one are settled.
    open: usize,
    /// The newest that came.
    highest: Option<usize>,
    /// One of the optional ones that is surely kept.
    pub kept: Option<usize>,
    /// Whatever else is kept, optional ones up to here may be missing.
    pub unsure: i64,
}

impl Book {
    pub fn push(&mut self, number: u32, position: i64, optional: bool) {
        let entry = Entry {
            number,
            position,
            got: false,
            excused: false,
            told: false,
            optional,
            again: false,
            doubted: false,
        };
        self.entries.push(entry);
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn find(&self, number: u32) -> Option<usize> {
        self.entries.binary_search_by_key(&number, |entry| entry.number).ok()
    }

    pub fn at(&mut self, index: usize) -> &mut Entry {
        &mut self.entries[index]
    }

    /// The entries with from < position <= to.
    pub fn between(&mut self, from: i64, to: i64) -> &mut [Entry] {
        let first = self.entries.partition_point(|entry| entry.position <= from);
        let last = self.entries.partition_point(|entry| entry.position <= to);
        &mut self.entries[first..last.max(first)]
    }

    /// A message came. Says whether it came for the first time.
    ///
    /// # Errors
    /// When it must not have come, or not now.
    pub fn get(&mut self, index: usize) -> Result<bool, String> {
        let Entry { number, got, again, .. } = self.entries[index];
        if got && !again {
            return Err(format!("{number} came twice without cause"));
        }
        self.entries[index].again = false;
        if got {
            return Ok(false);
        }
        if let Some(highest) = self.highest.filter(|highest| *highest > index) {
            return Err(format!("{number} came after {}", self.entries[highest].number));
        }
        if self.highest.is_none() {
            // Of what was kept, whatever came first is the oldest.
            for (at, entry) in self.entries.iter_mut().enumerate() {
                entry.excused |= entry.optional && at < index;
                entry.optional &= at < index || entry.position <= self.unsure;
            }
            self.kept = None;
        }
        self.entries[index].got = true;
        self.highest = Some(index);
        Ok(true)
    }

    /// Nothing may be missing before the newest that came, unless it was told.
    ///
    /// # Errors
    /// What is missing.
    pub fn check_order(&mut self) -> Result<(), String> {
        let Some(highest) = self.highest else { return Ok(()) };
        while let Some(entry) = self.entries.get(self.open).filter(|_| self.open <= highest) {
            if !entry.got && !entry.excused && !entry.optional {
                let newest = self.entries[highest].number;
                return Err(format!("{newest} came without {}, untold", entry.number));
            }
            self.open += 1;
        }
        Ok(())
    }

    /// Nobody asks for the channel any more; what is on its way may or may not come.
    pub fn leave(&mut self) {
        self.wanted = false;
        self.kept = None;
        for entry in &mut self.entries {
            entry.excused |= !entry.got;
        }
    }

    /// The first message that is owed.
    pub fn missing(&self) -> Option<(u32, i64)> {
        let owed = |entry: &&Entry| !entry.got && !entry.excused && !entry.optional;
        let kept = self.kept.map(|kept| &self.entries[kept]).filter(|entry| !entry.excused);
        self.entries[self.open..]
            .iter()
            .find(owed)
            .or(kept)
            .map(|entry| (entry.number, entry.position))
    }

    pub fn count(&self) -> Count {
        let mut count = Count::default();
        for entry in &self.entries {
            count.received += u64::from(entry.got);
            count.told += u64::from(entry.told && !entry.got);
            let lost = entry.excused && !entry.told && !entry.got && !entry.optional;
            count.lost += u64::from(lost);
        }
        count
    }
}
