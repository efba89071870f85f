//! Putting the configuration together: defaults, then the file, then `WEFT_*`, then flags.
//!
//! Every layer remembers where it took each value from, so that an error found at the end can say
//! where to look.

use std::{
    collections::BTreeMap,
    env, fs,
    ops::Range,
    path::{Path, PathBuf},
    slice,
};

use serde::{Deserialize, Serialize};
use toml::{
    Table, Value,
    de::{DeTable, DeValue, Deserializer},
};

use super::{
    ApiKey, Args, AuthRule, Channel, Config, ConfigError, TokenSource,
    check::{Problem, check},
    error::suggestion,
};

/// The name that all variables of the environment begin with.
const PREFIX: &str = "WEFT_";
/// The variable that names the file; the only one that is not a key.
const FILE_VARIABLE: &str = "WEFT_CONFIG";

/// A configuration that was read and found sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// What holds.
    pub config: Config,
    /// The file it was read from, if any.
    pub file: Option<PathBuf>,
    /// What the operator should be told, a sentence each. No values: they may be secrets.
    pub warnings: Vec<String>,
}

/// This process's environment, for [`load`].
pub fn environment() -> impl Iterator<Item = (String, String)> {
    env::vars_os().filter_map(|(name, value)| {
        Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
    })
}

/// Reads the file that `args` or `WEFT_CONFIG` names, if any, and lets the variables and the flags
/// override it. Every key has a variable: its path in upper case, joined by `_` (`limits.body` is
/// `WEFT_LIMITS_BODY`), with a value in TOML or as plain text; lists also divided by commas.
///
/// # Errors
/// A file that cannot be read or is not TOML, unknown keys, values that do not fit their key, their
/// range or each other. Unknown variables are only warned of: platforms make some up
/// (`WEFT_SERVICE_HOST`).
pub fn load(
    args: &Args,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Loaded, ConfigError> {
    let mut env: BTreeMap<_, _> = env.filter(|(name, _)| name.starts_with(PREFIX)).collect();
    let named = env.remove(FILE_VARIABLE).filter(|file| !file.is_empty()).map(PathBuf::from);
    let file = args.config.clone().or(named);
    let mut draft = Draft::new()?;
    if let Some(file) = &file {
        draft.read_file(file)?;
    }
    let warnings = draft.apply_variables(env)?;
    draft.apply_flags(args);
    let config = draft.finish()?;
    Ok(Loaded { config, file, warnings })
}

/// What a file with these bytes and these variables would mean, if there were such a file: [`load`]
/// without flags, and without reading anything.
///
/// # Errors
/// Those of [`load`].
pub fn of(
    file: &str,
    bytes: Vec<u8>,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let mut draft = Draft::new()?;
    draft.read(file, bytes)?;
    draft.apply_variables(env.filter(|(name, _)| name.starts_with(PREFIX)).collect())?;
    draft.finish()
}

/// A configuration being put together.
struct Draft {
    config: Config,
    /// All keys with their defaults, as the file would have them.
    known: Table,
    /// Where the values that are no defaults stand, by the path of their key.
    places: BTreeMap<String, String>,
}

impl Draft {
    fn new() -> Result<Self, ConfigError> {
        let config = Config::default();
        let mut known = serialised(&config)?;
        // What one entry of a list may hold, where the default has none.
        known.insert("channels".to_owned(), entry(Channel::default())?);
        if let Some(Value::Table(auth)) = known.get_mut("auth") {
            auth.insert("tokens".to_owned(), entry(TokenSource::full())?);
            auth.insert("keys".to_owned(), entry(ApiKey::full())?);
            auth.insert("rules".to_owned(), entry(AuthRule::default())?);
        }
        Ok(Self { config, known, places: BTreeMap::new() })
    }

    /// Reads the file, over the defaults.
    fn read_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let file = path.display().to_string();
        let bytes = fs::read(path)
            .map_err(|error| ConfigError::one(format!("{file}: cannot be read: {error}")))?;
        self.read(&file, bytes)
    }

    /// Reads what stands in the file of that name.
    fn read(&mut self, file: &str, bytes: Vec<u8>) -> Result<(), ConfigError> {
        let text = String::from_utf8(bytes).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let before = String::from_utf8_lossy(error.as_bytes().get(..valid).unwrap_or(&[]));
            let (line, column) = line_and_column(&before, valid);
            ConfigError::one(format!("{file}:{line}:{column}: the file is not UTF-8"))
        })?;
        let place = |span: &Range<usize>| {
            let (line, column) = line_and_column(&text, span.start);
            format!("{file}:{line}:{column}")
        };
        let located = |error: &toml::de::Error, key: &str| {
            let place = error.span().map_or_else(|| file.to_owned(), |span| place(&span));
            ConfigError::one(format!("{place}: {key}{}", error.message().replace('\n', ", ")))
        };
        let table = DeTable::parse(&text).map_err(|error| located(&error, ""))?;

        let mut unknown = Vec::new();
        let mut leaves = Vec::new();
        walk(table.get_ref(), &self.known, "", &mut |found| match found {
            Found::Unknown { key, hint, span } => {
                unknown.push(format!("{}: {key}: unknown key{hint}", place(&span)));
            }
            Found::Leaf { key, span } => leaves.push((key, span)),
        });
        if !unknown.is_empty() {
            return Err(ConfigError::new(unknown));
        }
        self.config = Config::deserialize(Deserializer::from(table)).map_err(|error| {
            let at = error.span().map_or(usize::MAX, |span| span.start);
            let key = leaves.iter().find(|(_, span)| span.contains(&at));
            located(&error, &key.map_or_else(String::new, |(key, _)| format!("{key}: ")))
        })?;
        self.places = leaves.iter().map(|(key, span)| (key.clone(), place(span))).collect();
        Ok(())
    }

    /// Lets variables override, one by one, and says which are unknown.
    fn apply_variables(
        &mut self,
        env: BTreeMap<String, String>,
    ) -> Result<Vec<String>, ConfigError> {
        let keys = variables(&self.known);
        let mut warnings = Vec::new();
        for (name, text) in env {
            let Some(path) = keys.get(&name) else {
                let hint = suggestion(&name, keys.keys().map(String::as_str));
                warnings.push(format!("{name} is not a setting of weft and was ignored{hint}"));
                continue;
            };
            let key = path.join(".");
            let mut table = serialised(&self.config)?;
            if let Some(value) = value_at(&mut table, path) {
                *value = parsed(&text, value);
            }
            self.config = Config::deserialize(table)
                .map_err(|error| ConfigError::one(format!("{name}: {key}: {}", error.message())))?;
            self.places.insert(key, name);
        }
        Ok(warnings)
    }

    /// Lets flags override.
    fn apply_flags(&mut self, args: &Args) {
        let config = &mut self.config;
        let mut note = |key: &str| self.places.insert(key.to_owned(), format!("--{key}"));
        if let Some(listen) = args.listen {
            config.listen = listen;
            note("listen");
        }
        if let Some(admin) = args.admin {
            config.admin = admin;
            note("admin");
        }
        if let Some(data) = &args.data {
            config.data.clone_from(data);
            note("data");
        }
    }

    /// Checks the whole.
    fn finish(self) -> Result<Config, ConfigError> {
        let problems = check(&self.config);
        if problems.is_empty() {
            return Ok(self.config);
        }
        let located = |Problem { keys, text }: &Problem| match keys
            .iter()
            .find_map(|key| self.places.get_key_value(&**key))
        {
            Some((key, place)) if place.ends_with(key) => format!("{place}: {text}"),
            Some((key, place)) => format!("{place}: {key}: {text}"),
            None => format!("{}: {text}", keys.join(", ")),
        };
        Err(ConfigError::new(problems.iter().map(located).collect()))
    }
}

/// What [`walk`] comes upon.
enum Found {
    /// A key that is not in the table of known ones, with what may have been meant.
    Unknown { key: String, hint: String, span: Range<usize> },
    /// A key with a value that is no section, or a section of a list, and where it stands.
    Leaf { key: String, span: Range<usize> },
}

/// Visits all keys of a file, section by section.
fn walk(table: &DeTable<'_>, known: &Table, path: &str, visit: &mut impl FnMut(Found)) {
    for (name, value) in table {
        let (span, name) = (name.span(), name.get_ref());
        let key = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
        match (known.get(name.as_ref()), value.get_ref()) {
            (None, _) => {
                let hint = suggestion(name, known.keys().map(String::as_str));
                visit(Found::Unknown { key, hint, span });
            }
            // Claims have whatever names they have.
            (Some(Value::Table(known)), DeValue::Table(section)) if !known.is_empty() => {
                walk(section, known, &key, visit);
            }
            (Some(Value::Array(known)), DeValue::Array(items)) => {
                if let Some(Value::Table(known)) = known.first() {
                    for (index, item) in items.iter().enumerate() {
                        let key = format!("{key}[{index}]");
                        if let DeValue::Table(section) = item.get_ref() {
                            walk(section, known, &key, visit);
                        }
                        visit(Found::Leaf { key, span: item.span() });
                    }
                }
                visit(Found::Leaf { key, span: value.span() });
            }
            (Some(_), _) => visit(Found::Leaf { key, span: value.span() }),
        }
    }
}

/// The line and the column, both from 1, of a byte's place in a text.
fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// A list of one entry, as the file would have it.
fn entry(entry: impl Serialize) -> Result<Value, ConfigError> {
    let entry = Value::try_from(entry).map_err(|error| ConfigError::one(error.to_string()))?;
    Ok(Value::Array(vec![entry]))
}

/// A configuration as the file would have it.
fn serialised(config: &Config) -> Result<Table, ConfigError> {
    Table::try_from(config).map_err(|error| ConfigError::one(error.to_string()))
}

/// The variable of each key, with the key's path.
fn variables(known: &Table) -> BTreeMap<String, Vec<String>> {
    fn visit(table: &Table, path: &[String], found: &mut BTreeMap<String, Vec<String>>) {
        for (name, value) in table {
            let path = [path, slice::from_ref(name)].concat();
            match value {
                Value::Table(section) => visit(section, &path, found),
                _ => {
                    let variable = format!("{PREFIX}{}", path.join("_").to_ascii_uppercase());
                    found.insert(variable, path);
                }
            }
        }
    }
    let mut found = BTreeMap::new();
    visit(known, &[], &mut found);
    found
}

/// The value at a path that is known to exist.
fn value_at<'a>(table: &'a mut Table, path: &[String]) -> Option<&'a mut Value> {
    let (first, rest) = path.split_first()?;
    match table.get_mut(first)? {
        Value::Table(section) => value_at(section, rest),
        value => Some(value),
    }
}

/// A variable's value, of the same kind as the one it replaces if its text allows that.
fn parsed(text: &str, replaced: &Value) -> Value {
    let parsed: Option<Value> = text.parse().ok();
    match (replaced, parsed) {
        (Value::Array(_), Some(array @ Value::Array(_))) => array,
        (Value::Array(_), _) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
        }
        (Value::String(_), Some(string @ Value::String(_))) => string,
        (Value::String(_), _) | (_, None) => Value::String(text.to_owned()),
        (_, Some(value)) => value,
    }
}
