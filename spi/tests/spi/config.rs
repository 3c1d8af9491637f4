//! Misspelt keys in configurations, and that every type which users write in files refuses them.

use std::fs;
use std::path::{Path, PathBuf};

use networking_spi::backoff::Backoff;
use networking_spi::bridge::{BridgeConfig, DeliveryRetry, RouteAction, RouteRule, RoutingConfig};
use networking_spi::circuit_breaker::{CircuitBreakerConfig, HalfOpenPolicy, OpenPolicy, RateThresholds, TripPolicy};
use networking_spi::http::{HttpCircuitOptions, OAuth2Request, ProxyConfig, RetryBudget, RetryPolicy};
use networking_spi::kafka::{
    ConsumeOptions, ConsumerConfig, KafkaSecurity, NewTopic, PoisonPolicy, ProducerConfig, SaslConfig,
    StreamProcessorConfig, TlsConfig, TransactionalProducerConfig,
};
use networking_spi::websocket::{WebSocketCompression, WebSocketOptions};
use networking_spi::{ErrorKind, config};
use serde::de::DeserializeOwned;

/// The field and the message of the error for a text, and that `serde_json` alone refuses it, too.
fn refused<T: DeserializeOwned>(json: &str) -> (String, String) {
    let Err(plain) = serde_json::from_str::<T>(json) else {
        panic!("serde_json accepts {json}");
    };
    let Err(error) = config::from_json::<T>(json) else {
        panic!("config accepts {json}");
    };
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{plain}");
    let message = error.message().to_owned();
    (
        error.field().unwrap().to_owned(),
        message.split(" (line ").next().unwrap().to_owned(),
    )
}

macro_rules! table {
    ($($kind:ident, $json:expr => $field:expr, $message:expr;)+) => {
        let mut wrong = Vec::new();
        $(
            let found = refused::<$kind>($json);
            if (found.0.as_str(), found.1.as_str()) != ($field, $message) {
                wrong.push((stringify!($kind), $json, found));
            }
        )+
        assert!(wrong.is_empty(), "{wrong:#?}");
    };
}

#[test]
fn a_misspelt_key_is_an_error_that_names_it_and_the_nearest_key() {
    table! {
        RetryPolicy, r#"{"max_retries": 3}"# => "max_retries", "unknown key `max_retries`, did you mean `max_attempts`?";
        RetryPolicy, r#"{"budget": {"capasity": 3}}"# => "budget.capasity", "unknown key `capasity`, did you mean `capacity`?";
        RetryBudget, r#"{"refil": 0.1}"# => "refil", "unknown key `refil`, did you mean `refill`?";
        Backoff, r#"{"inital": "1s"}"# => "inital", "unknown key `inital`, did you mean `initial`?";
        ProxyConfig, r#"{"uri": "http://proxy:3128"}"# => "uri", "unknown key `uri`, did you mean `url`?";
        ProxyConfig, r#"{"url": "http://proxy:3128", "user_name": "a"}"# => "user_name", "unknown key `user_name`, did you mean `username`?";
        HttpCircuitOptions, r#"{"scopes": "host"}"# => "scopes", "unknown key `scopes`, did you mean `scope`?";
        OAuth2Request, r#"{"token_url": "https://a.test/", "client_id": "c", "grant_type": "client_credentials", "scope": ["a"]}"# => "scope", "unknown key `scope`, did you mean `scopes`?";
        OAuth2Request, r#"{"token_url": "https://a.test/", "client_id": "c", "grant_type": "refresh_token", "refresh_token": "r", "code": "a"}"# => "code", "unknown key `code`, expected one of `token_url`, `client_id`, `client_secret`, `grant_type`, `scopes`, `audience`, `extra`, `refresh_token`";
        WebSocketOptions, r#"{"max_unred": 3}"# => "max_unred", "unknown key `max_unred`, did you mean `max_unread`?";
        WebSocketCompression, r#"{"level": 3}"# => "level", "unknown key `level`, expected one of `client_no_context_takeover`, `server_no_context_takeover`, `client_max_window_bits`, `server_max_window_bits`, `min_size`";
        CircuitBreakerConfig, r#"{"trips": {}}"# => "trips", "unknown key `trips`, did you mean `trip`?";
        TripPolicy, r#"{"consecutive_failures": {"failure": 5}}"# => "consecutive_failures.failure", "unknown key `failure`, did you mean `failures`?";
        TripPolicy, r#"{"consecutive_failure": {"failures": 5}}"# => "config", "unknown value `consecutive_failure`, did you mean `consecutive_failures`?";
        RateThresholds, r#"{"failure_ratio": 0.5}"# => "failure_ratio", "unknown key `failure_ratio`, did you mean `failure_rate`?";
        HalfOpenPolicy, r#"{"max_concurent_probes": 3}"# => "max_concurent_probes", "unknown key `max_concurent_probes`, did you mean `max_concurrent_probes`?";
        OpenPolicy, r#"{"back_off": {}}"# => "back_off", "unknown key `back_off`, did you mean `backoff`?";
        ProducerConfig, r#"{"ack": "all"}"# => "ack", "unknown key `ack`, did you mean `acks`?";
        TransactionalProducerConfig, r#"{"transactional_id": "t", "transaction_timout": "1m"}"# => "transaction_timout", "unknown key `transaction_timout`, did you mean `transaction_timeout`?";
        ConsumerConfig, r#"{"group_id": "g", "topics": ["t"]}"# => "group_id", "unknown key `group_id`, did you mean `group`?";
        ConsumeOptions, r#"{"max_message": 3}"# => "max_message", "unknown key `max_message`, did you mean `max_messages`?";
        SaslConfig, r#"{"user": "u"}"# => "user", "unknown key `user`, expected one of `mechanism`, `username`, `password`";
        TlsConfig, r#"{"ca_file": "x"}"# => "ca_file", "unknown key `ca_file`, did you mean `ca_pem`?";
        KafkaSecurity, r#"{"ssl": {}}"# => "ssl", "unknown key `ssl`, did you mean `tls`?";
        NewTopic, r#"{"name": "t", "partition": 3}"# => "partition", "unknown key `partition`, did you mean `partitions`?";
        StreamProcessorConfig, r#"{"input_topic": ["t"]}"# => "input_topic", "unknown key `input_topic`, did you mean `input_topics`?";
        PoisonPolicy, r#"{"policy": "skip", "topik": "t"}"# => "topik", "unknown key `topik`, did you mean `topic`?";
        BridgeConfig, r#"{"retry": {"max_atempts": 3}}"# => "retry.max_atempts", "unknown key `max_atempts`, did you mean `max_attempts`?";
        DeliveryRetry, r#"{"max_tries": 3}"# => "max_tries", "unknown key `max_tries`, did you mean `max_attempts`?";
        RoutingConfig, r#"{"rule": []}"# => "rule", "unknown key `rule`, did you mean `rules`?";
        RouteRule, r#"{"name": "a", "condition": "true", "action": "drop", "conditon": "x"}"# => "conditon", "unknown key `conditon`, did you mean `condition`?";
        RouteAction, r#"{"action": "deliver", "targets": "t"}"# => "targets", "unknown key `targets`, did you mean `target`?";
    }
}

#[test]
fn a_key_that_belongs_to_another_action_is_an_error() {
    let (_, message) = refused::<RouteRule>(r#"{"name": "a", "condition": "true", "action": "drop", "target": "t"}"#);
    assert_eq!(message, "the field `target` belongs to the action `deliver` only");
    let (_, message) = refused::<RouteAction>(r#"{"action": "deliver"}"#);
    assert!(
        message.starts_with("missing field `target` of the action `deliver`"),
        "{message}"
    );
    let (_, message) = refused::<PoisonPolicy>(r#"{"policy": "fail", "topic": "t"}"#);
    assert!(
        message.starts_with("the field `topic` belongs to the policy `dead_letter` only"),
        "{message}"
    );
    let (_, message) = refused::<PoisonPolicy>(r#"{"policy": "dead_letter"}"#);
    assert!(
        message.starts_with("missing field `topic` of the policy `dead_letter`"),
        "{message}"
    );
}

#[test]
fn a_wrong_value_is_not_shown() {
    table! {
        RetryPolicy, r#"{"max_attempts": "s3cr3t"}"# => "max_attempts", "must be a whole number in its range, not a text";
        RetryPolicy, r#"{"max_attempts": -1}"# => "max_attempts", "must be a whole number in its range, not a number";
        RetryPolicy, r#"{"max_retry_after": 30}"# => "max_retry_after", "must be a time with its unit, such as `30s` or `1m 30s`, not a number";
        RetryPolicy, r#"{"max_retry_after": "30"}"# => "max_retry_after", "must be a time with its unit, such as `30s` or `1m 30s`, not a text";
        RetryPolicy, r#"{"retry_non_idempotent": "s3cr3t, expected u32"}"# => "retry_non_idempotent", "must be true or false, not a text";
        RetryPolicy, r#"{"statuses": "s3cr3t"}"# => "statuses", "must be a list, not a text";
        RetryPolicy, r#""http://h/?token=s3cr3t""# => "config", "must be an object with its settings, not a text";
        TripPolicy, r#""s3cr3t""# => "config", "unknown value, expected one of `consecutive_failures`, `count_window`, `time_window`";
        TripPolicy, r#"{"consecutive_failures": "s3cr3t"}"# => "consecutive_failures", "must be an object with its settings, not a text";
        ProxyConfig, r#"{"url": "http://h", "password": 987654321}"# => "password", "must be a text";
        ProxyConfig, r#"{"url": "http://h", "password": [1, 2]}"# => "password", "must be a text, not a list";
        SaslConfig, r#"{"mechanism": "PLAIN", "username": "u"}"# => "password", "is missing";
        KafkaSecurity, r#"{"sasl": {"mechanism": "PLAIN", "username": "u"}}"# => "sasl.password", "is missing";
    }
    let plain = serde_json::from_str::<ProxyConfig>(r#"{"url": "http://h", "password": 987654321}"#).unwrap_err();
    assert!(!plain.to_string().contains("987654321"), "{plain}");
}

#[test]
fn a_text_that_ends_too_early_is_an_error_of_the_whole() {
    let error = config::from_json::<RetryPolicy>(r#"{"max_attempts": 3, "#).unwrap_err();
    assert_eq!(error.field(), Some("config"), "{error}");
    assert!(error.message().contains("EOF"), "{error}");
}

#[test]
fn toml_has_the_same_errors_and_shows_no_excerpt() {
    let text = "max_attempts = 3\n[backoff]\ninitial = '1s'\npassword = 'hunter2'\n";
    let error = config::read::<RetryPolicy, _>(toml::Deserializer::parse(text).unwrap()).unwrap_err();
    assert_eq!(error.field(), Some("backoff.password"));
    let known = "expected one of `initial`, `maximum`, `multiplier`, `jitter`";
    assert_eq!(
        error.message(),
        format!("unknown key `password`, {known} (line 4, column 1)")
    );
    let text = "max_attempts = 'hunter2'\n";
    let error = config::read::<RetryPolicy, _>(toml::Deserializer::parse(text).unwrap()).unwrap_err();
    assert_eq!(error.field(), Some("max_attempts"));
}

#[test]
fn a_value_tree_has_the_same_errors() {
    let value = serde_json::json!({"routing": {"rules": [{"name": "a", "condtion": "true", "action": "drop"}]}});
    let error = config::read::<BridgeConfig, _>(&value).unwrap_err();
    assert_eq!(error.field(), Some("routing.rules[0].condtion"));
    assert_eq!(error.message(), "unknown key `condtion`, did you mean `condition`?");
}

#[test]
fn an_error_shows_no_credentials_of_a_proxy() {
    for url in [
        "http://bob:hunter2@proxy:99999",
        "bob:hunter2@proxy",
        "http://bob:hunter2@",
    ] {
        let json = format!(r#"{{"url": "{url}"}}"#);
        let plain = serde_json::from_str::<ProxyConfig>(&json).map(|proxy| format!("{proxy:?}"));
        let plain = plain.unwrap_or_else(|error| error.to_string());
        let read = config::from_json::<ProxyConfig>(&json).map(|proxy| format!("{proxy:?}"));
        let read = read.unwrap_or_else(|error| format!("{error} {error:?}"));
        assert!(
            !plain.contains("hunter2") && !read.contains("hunter2"),
            "{plain} / {read}"
        );
    }
    let json = r#"{"token_url": "https://bob:hunter2@auth.test:99999/"}"#;
    let error = config::from_json::<OAuth2Request>(json).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
}

#[test]
fn text_after_the_value_is_an_error() {
    let error = config::from_json::<RetryPolicy>("{} {}").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    config::from_json::<RetryPolicy>(" {} ").unwrap();
}

/// Types whose names say that users write them in files.
const SUFFIXES: [&str; 9] = [
    "Config",
    "Options",
    "Policy",
    "Settings",
    "Budget",
    "Limit",
    "Retry",
    "Compression",
    "Guard",
];

/// Types that do not deny unknown keys themselves: they are read through a private type that does, `Given` and their name.
const READ_DIFFERENTLY: [&str; 1] = ["PoisonPolicy"];

#[test]
fn every_configuration_refuses_unknown_keys() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join("src"), &mut files);
    // The other crates are there in the repository, but not in a package.
    for domain in ["runtime", "http", "circuit-breaker", "kafka", "bridge"] {
        collect(&root.join("../impls").join(domain).join("src"), &mut files);
    }
    let tables = ["tests/spi/config.rs", "../impls/http/tests/client/config.rs"]
        .map(|table| fs::read_to_string(root.join(table)).unwrap_or_default())
        .concat();
    let (mut checked, mut tolerant) = (0, Vec::new());
    for file in files {
        let source = fs::read_to_string(&file).unwrap();
        for (name, keys) in deserialized(&source) {
            let written = SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) && !name.starts_with("Given");
            if written && keys != Keys::None {
                checked += 1;
                let refuses = keys == Keys::Checked || READ_DIFFERENTLY.contains(&name);
                if !refuses || !tables.contains(&format!("\n        {name}, r#")) {
                    tolerant.push(format!("{name} in {}", file.display()));
                }
            }
        }
    }
    assert!(checked >= 20, "only {checked} types were found");
    assert!(
        tolerant.is_empty(),
        "these need `#[serde(deny_unknown_fields)]` and a row in the table of misspelt keys: {tolerant:#?}"
    );
}

#[test]
fn a_type_without_the_rule_is_found() {
    let source = "#[derive(Debug, Deserialize)]\n#[serde(default)]\n#[non_exhaustive]\npub struct OpenConfig {\n\
        #[derive(\n    Debug,\n    Deserialize,\n)]\n#[serde(default, deny_unknown_fields)]\n/// Text.\npub(crate) struct StrictConfig {\n\
        #[derive(Debug)]\npub struct OtherConfig {\n#[derive(Deserialize)]\n#[serde(rename_all = \"snake_case\")]\npub enum FlatPolicy {\n    A,\n    B(u8),\n}\n\
        #[derive(serde::Deserialize)]\n#[serde(rename_all = \"snake_case\")]\npub enum DeepPolicy {\n    A,\n    B { b: u8 },\n}\n";
    assert_eq!(
        deserialized(source),
        [
            ("OpenConfig", Keys::Unchecked),
            ("StrictConfig", Keys::Checked),
            ("FlatPolicy", Keys::None),
            ("DeepPolicy", Keys::Unchecked)
        ]
    );
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keys {
    /// An enum without named fields.
    None,
    Checked,
    Unchecked,
}

/// The types of a source that derive `Deserialize`, and their keys.
fn deserialized(source: &str) -> Vec<(&str, Keys)> {
    let mut found = Vec::new();
    for (start, _) in source.match_indices("#[derive(") {
        let item = &source[start..];
        let Some((derives, rest)) = item.split_once(")]\n") else {
            continue;
        };
        if !derives.contains("Deserialize") {
            continue;
        }
        let (head, name, is_enum) = match (rest.find("struct "), rest.find("enum ")) {
            (Some(at), other) if other.is_none_or(|other| at < other) => (&rest[..at], &rest[at + 7..], false),
            (_, Some(at)) => (&rest[..at], &rest[at + 5..], true),
            _ => continue,
        };
        let (name, body) = name.split_at(name.find(|char: char| !char.is_alphanumeric()).unwrap_or(name.len()));
        let body = body.split("\n}").next().unwrap_or_default();
        let keyless = is_enum && !body.trim_start().trim_start_matches('{').contains('{');
        let keys = match head.contains("deny_unknown_fields") {
            _ if keyless => Keys::None,
            true => Keys::Checked,
            false => Keys::Unchecked,
        };
        found.push((name, keys));
    }
    found
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
