//! Channel names and the patterns that match them (Bayeux 1.0 §2.1, §2.2.1; checklist B1, B4-B8).

use std::fmt;

/// Bounds of a channel name (checklist L4, decisions 3.10): names are keys of tables, so their
/// size is part of the broker's memory bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelLimits {
    /// The longest name or pattern, in bytes.
    pub bytes: usize,
    /// The most segments, a wildcard counting as one.
    pub segments: usize,
}

impl Default for ChannelLimits {
    fn default() -> Self {
        Self { bytes: 255, segments: 32 }
    }
}

/// The text is no channel name, or none where one is needed that is not a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidChannel;

impl fmt::Display for InvalidChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a valid channel name")
    }
}

impl std::error::Error for InvalidChannel {}

/// A concrete channel name: what can be published to (checklist B4; L9 keeps wildcards out).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChannelName<'a>(&'a str);

impl<'a> ChannelName<'a> {
    /// Checks `text` against the grammar of B4 (plus `.`, decisions 3.10) and the limits.
    pub fn parse(text: &'a str, limits: &ChannelLimits) -> Result<Self, InvalidChannel> {
        if is_valid(text, limits, false) { Ok(Self(text)) } else { Err(InvalidChannel) }
    }

    /// The name, as it was given.
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// Whether the name is reserved to the protocol: `/meta` or below (checklist B8, E27).
    pub fn is_meta(self) -> bool {
        is_within(self.0, "/meta")
    }

    /// Whether the name is `/service` or below: calls, never broadcast (Bayeux 1.0 §2.2.3).
    pub fn is_service(self) -> bool {
        is_within(self.0, "/service")
    }

    /// Visits every subscription text that matches this name: the name, `parent/*`, and `/**` of
    /// each ancestor up to the root (checklist B6, B7).
    ///
    /// A publish looks up a handful of keys this way instead of testing every pattern there is. It
    /// goes by the text alone: that `/**` must not reach `/meta/**` (E26) is settled before, since
    /// such a name never becomes a publish.
    pub fn patterns(self, mut visit: impl FnMut(&str)) {
        visit(self.0);
        let mut parent = parent(self.0);
        let mut scratch = String::with_capacity(self.0.len() + 2);
        scratch.push_str(parent);
        scratch.push_str("/*");
        visit(&scratch);
        loop {
            scratch.truncate(parent.len());
            scratch.push_str("/**");
            visit(&scratch);
            if parent.is_empty() {
                return;
            }
            parent = self::parent(parent);
        }
    }
}

impl fmt::Display for ChannelName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// What can be subscribed to: a concrete name, or one that ends in `/*` or `/**` (checklist B5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pattern<'a>(&'a str);

impl<'a> Pattern<'a> {
    /// Checks `text` against the grammar of B5 and the limits.
    pub fn parse(text: &'a str, limits: &ChannelLimits) -> Result<Self, InvalidChannel> {
        if is_valid(text, limits, true) { Ok(Self(text)) } else { Err(InvalidChannel) }
    }

    /// The pattern, as it was given.
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// Whether it ends in a wildcard.
    pub fn is_wild(self) -> bool {
        self.0.ends_with('*')
    }

    /// Whether it names `/meta` or something below, wildcards included (checklist E26).
    pub fn is_meta(self) -> bool {
        is_within(self.0, "/meta")
    }

    /// Whether it names `/service` or something below, wildcards included.
    pub fn is_service(self) -> bool {
        is_within(self.0, "/service")
    }

    /// Whether `name` is among the channels meant (checklist B6, B7).
    pub fn matches(self, name: ChannelName<'_>) -> bool {
        let below = |parent: &str| name.0.strip_prefix(parent)?.strip_prefix('/');
        if let Some(parent) = self.0.strip_suffix("/**") {
            below(parent).is_some()
        } else if let Some(parent) = self.0.strip_suffix("/*") {
            below(parent).is_some_and(|rest| !rest.contains('/'))
        } else {
            self.0 == name.0
        }
    }
}

impl fmt::Display for Pattern<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl<'a> From<ChannelName<'a>> for Pattern<'a> {
    fn from(name: ChannelName<'a>) -> Self {
        Self(name.0)
    }
}

fn is_valid(text: &str, limits: &ChannelLimits, wildcard: bool) -> bool {
    let Some(rest) = text.strip_prefix('/') else { return false };
    if text.len() > limits.bytes {
        return false;
    }
    let (parents, last) = rest.rsplit_once('/').map_or((None, rest), |(p, last)| (Some(p), last));
    let last_is_fine = is_segment(last) || wildcard && matches!(last, "*" | "**");
    let mut segments = 1;
    let parents_are_fine = parents.is_none_or(|parents| {
        parents.split('/').all(|segment| {
            segments += 1;
            is_segment(segment)
        })
    });
    last_is_fine && parents_are_fine && segments <= limits.segments
}

/// `token` of the grammar (B1) plus `.`; `.` and `..` are kept out, since names stand in URLs.
fn is_segment(segment: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_!~()$@.".contains(&byte);
    !segment.is_empty() && segment.bytes().all(is_token) && !matches!(segment, "." | "..")
}

fn is_within(text: &str, root: &str) -> bool {
    text.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What stands before the last slash: `""` is the root.
fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(parent, _)| parent)
}

#[cfg(test)]
mod tests;
