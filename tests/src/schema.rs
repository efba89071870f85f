//! As much of OpenAPI and JSON Schema as our own description uses. What it does not know it complains
//! about, so that nothing is described that is not checked.

use serde_json::Value;

use crate::http::Response;

/// An OpenAPI description.
#[derive(Debug)]
pub struct Description(Value);

impl Description {
    /// Takes a document.
    #[must_use]
    pub fn new(document: Value) -> Self {
        Self(document)
    }

    /// What a `$ref` points at, or the value itself.
    fn resolve<'v>(&'v self, value: &'v Value) -> &'v Value {
        let Some(reference) = value.get("$ref").and_then(Value::as_str) else { return value };
        let pointer = reference.strip_prefix('#').expect("a reference into the document");
        self.0.pointer(pointer).unwrap_or_else(|| panic!("{reference} points nowhere"))
    }

    fn operation(&self, path: &str, method: &str) -> &Value {
        let found = self.0["paths"][path].get(method);
        found.unwrap_or_else(|| panic!("{method} {path} is not described"))
    }

    /// Every path, method and status that is described.
    #[must_use]
    pub fn statuses(&self) -> Vec<(String, String, u16)> {
        let mut all = Vec::new();
        for (path, methods) in self.0["paths"].as_object().expect("paths") {
            let methods = methods.as_object().expect("methods").iter();
            for (method, operation) in methods.filter(|(name, _)| *name != "parameters") {
                for status in operation["responses"].as_object().expect("responses").keys() {
                    all.push((path.clone(), method.clone(), status.parse().expect("a status")));
                }
            }
        }
        all
    }

    /// The example body of an operation.
    #[must_use]
    pub fn example(&self, path: &str, method: &str) -> &Value {
        &self.operation(path, method)["requestBody"]["content"]["application/json"]["example"]
    }

    /// What of a response is not as described.
    #[must_use]
    pub fn complaints(&self, path: &str, method: &str, response: &Response) -> Vec<String> {
        let operation = self.operation(path, method);
        let Some(described) = operation["responses"].get(response.status.to_string()) else {
            return vec![format!("{} is not described", response.status)];
        };
        let described = self.resolve(described);
        let mut complaints = Vec::new();
        for (name, header) in described["headers"].as_object().into_iter().flatten() {
            let header = self.resolve(header);
            match response.header(name) {
                Some(text) => {
                    // A header is text; what reads as a number may be one.
                    let number = text.parse::<i64>().map(Value::from);
                    let value = number.unwrap_or_else(|_| Value::from(text));
                    self.check(&header["schema"], &value, name, &mut complaints);
                }
                None if header["required"] == true => complaints.push(format!("{name} is missing")),
                None => {}
            }
        }
        let kind = response.header("Content-Type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default();
        let Some(contents) = described.get("content") else {
            if !response.body.is_empty() {
                complaints.push("a body is not described".to_owned());
            }
            return complaints;
        };
        let Some(content) = contents.get(kind) else {
            complaints.push(format!("{kind} is not described"));
            return complaints;
        };
        let values: Vec<Value> = match kind {
            "text/plain" | "text/event-stream" => vec![Value::from(response.text())],
            "application/json" => vec![response.json()],
            _ => {
                let read = |line| serde_json::from_str(line).expect("JSON on each line");
                response.text().lines().filter(|line| !line.is_empty()).map(read).collect()
            }
        };
        for value in &values {
            self.check(&content["schema"], value, "body", &mut complaints);
        }
        complaints
    }

    fn check(&self, schema: &Value, value: &Value, at: &str, complaints: &mut Vec<String>) {
        let schema = self.resolve(schema);
        for (keyword, wanted) in schema.as_object().expect("a schema") {
            let holds = match keyword.as_str() {
                "type" => is_of(wanted, value),
                "const" => value == wanted,
                "enum" => wanted.as_array().expect("values").contains(value),
                "minimum" => value.as_f64() >= wanted.as_f64(),
                "format" => wanted == "date-time" && value.as_str().is_some_and(is_time),
                "required" => {
                    let mut names = wanted.as_array().expect("names").iter();
                    names.all(|name| value.get(name.as_str().expect("a name")).is_some())
                }
                "additionalProperties" => {
                    let known = |name: &String| schema["properties"].get(name).is_some();
                    *wanted == false && value.as_object().is_none_or(|all| all.keys().all(known))
                }
                "oneOf" => {
                    let fits = |schema: &&Value| {
                        let mut complaints = Vec::new();
                        self.check(schema, value, at, &mut complaints);
                        complaints.is_empty()
                    };
                    wanted.as_array().expect("schemas").iter().filter(fits).count() == 1
                }
                "properties" => {
                    for (name, schema) in wanted.as_object().expect("schemas") {
                        if let Some(member) = value.get(name) {
                            self.check(schema, member, &format!("{at}.{name}"), complaints);
                        }
                    }
                    true
                }
                "items" => {
                    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.check(wanted, item, &format!("{at}[{index}]"), complaints);
                    }
                    true
                }
                "description" => true,
                _ => false,
            };
            if !holds {
                complaints.push(format!("{at}: {keyword} {wanted} does not hold of {value}"));
            }
        }
    }
}

fn is_of(wanted: &Value, value: &Value) -> bool {
    let is = |kind: &Value| match kind.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("number") => value.is_number(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("boolean") => value.is_boolean(),
        _ => false,
    };
    wanted.as_array().map_or_else(|| is(wanted), |kinds| kinds.iter().any(is))
}

/// `2027-01-15T08:00:00.123456Z`, as we write it.
fn is_time(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape.starts_with("0000-00-00T00:00:00") && shape.ends_with('Z')
}
