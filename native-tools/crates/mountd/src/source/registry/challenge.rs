//! WWW-Authenticate (RFC 9110, 11.6.1), as far as registries use it.

use std::collections::HashMap;

/// What the registry wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User and password with each request.
    Basic,
    /// A token from `realm`.
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
}

/// The challenge to meet: Bearer where it is offered, else Basic.
pub(super) fn choose(lines: &[String]) -> Option<Challenge> {
    let offered: Vec<_> = lines.iter().filter_map(|line| parse(line)).collect();
    let bearer = offered
        .iter()
        .find(|challenge| matches!(challenge, Challenge::Bearer { .. }));
    bearer.or(offered.first()).cloned()
}

fn parse(line: &str) -> Option<Challenge> {
    let (scheme, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let mut parameters = parameters(rest);
    Some(Challenge::Bearer {
        realm: parameters.remove("realm")?,
        service: parameters.remove("service"),
        scope: parameters.remove("scope"),
    })
}

/// `a="b",c=d`; a backslash in quotes takes the next character as it is.
fn parameters(text: &str) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let mut rest = text.trim_start_matches([' ', ',']);
    while let Some((name, after)) = rest.split_once('=') {
        let (value, behind) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => {
                let end = after.find(',').unwrap_or(after.len());
                let (value, behind) = after.split_at(end);
                (value.trim().to_owned(), behind)
            }
        };
        found.insert(name.trim().to_ascii_lowercase(), value);
        rest = behind.trim_start_matches([' ', ',']);
    }
    found
}

fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, text.get(at + 1..).unwrap_or_default()),
            '\\' => value.extend(characters.next().map(|(_, next)| next)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bearer_is_preferred_and_its_parameters_are_read() {
        let lines = [
            "Basic realm=\"x\"".to_owned(),
            r#"Bearer realm="https://auth.test/token",service="reg,istry",scope="repository:a/b:pull,push""#.to_owned(),
        ];
        let expected = Challenge::Bearer {
            realm: "https://auth.test/token".to_owned(),
            service: Some("reg,istry".to_owned()),
            scope: Some("repository:a/b:pull,push".to_owned()),
        };
        assert_eq!(choose(&lines), Some(expected));
        assert_eq!(choose(&lines[..1]), Some(Challenge::Basic));
        assert_eq!(
            choose(&["Negotiate".to_owned(), "Bearer service=x".to_owned()]),
            None
        );
    }

    proptest! {
        #[test]
        fn no_header_breaks_the_parser(line in ".{0,80}") {
            let _ = choose(&[line.clone(), format!("Bearer {line}")]);
        }
    }
}
