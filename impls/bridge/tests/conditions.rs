//! Condition compilers: a custom one, and none.

use std::panic::panic_any;
use std::sync::{Arc, Mutex};

use networking_bridge::{
    Condition, ConditionCompiler, Facts, InProcessBridge, MemorySink, MemorySource, PayloadFields,
};
use networking_spi::Result;
use networking_spi::bridge::{BridgeConfig, BridgeMessage, ErrorAction, RouteRule, RoutingConfig, dead_letter_headers};
use networking_spi::prelude::*;

/// Compiles `NAME=VALUE`: whether that field of the payload has that text. Records the texts that it compiles.
#[derive(Debug, Default)]
struct Equals {
    compiled: Mutex<Vec<String>>,
}

#[derive(Debug)]
struct Equality {
    name: String,
    value: String,
    fields: PayloadFields,
}

impl ConditionCompiler for Equals {
    fn compile(&self, text: &str) -> Result<Arc<dyn Condition>> {
        self.compiled.lock().unwrap().push(text.to_owned());
        if text == "panic" {
            panic_any("not a compiler");
        }
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| NetworkError::invalid_input("condition", "must be NAME=VALUE"))?;
        Ok(Arc::new(Equality {
            name: name.to_owned(),
            value: value.to_owned(),
            fields: PayloadFields::none().with_field(&[name]),
        }))
    }
}

impl Condition for Equality {
    fn payload_fields(&self) -> &PayloadFields {
        &self.fields
    }

    fn matches(&self, facts: &Facts<'_>) -> Result<bool> {
        match facts.payload()[&self.name].as_str() {
            Some("panic") => panic_any("not a condition"),
            Some(found) => Ok(found == self.value),
            None => Err(NetworkError::new(ErrorKind::Decode, "test", "the field is not text")),
        }
    }
}

fn routing(condition: &str) -> RoutingConfig {
    RoutingConfig::new()
        .with_rule(RouteRule::to("rule", condition, "matched"))
        .with_default_target("events")
}

#[tokio::test(start_paused = true)]
async fn a_custom_compiler_decides_which_messages_match() {
    let compiler = Arc::new(Equals::default());
    let bridge = InProcessBridge::builder().condition_compiler(compiler.clone()).build();
    assert!(bridge.capabilities().routing);
    let (source, sink) = (Arc::new(MemorySource::new(4)), Arc::new(MemorySink::new()));
    let routing = routing("event=login").with_on_error(ErrorAction::DeadLetter);
    let config = BridgeConfig::new()
        .with_routing(routing)
        .with_dead_letter_target("dead");
    let id = bridge
        .create_bridge("b", source.clone(), sink.clone(), config)
        .await
        .unwrap();
    assert_eq!(compiler.compiled.lock().unwrap().as_slice(), ["event=login"]);

    // The last one is parsed on the blocking pool.
    let large = format!("{{\"event\": \"login\", \"text\": \"{}\"}}", "x".repeat(1 << 20));
    for (payload, target) in [
        (r#"{"event": "login"}"#, "matched"),
        (r#"{"event": "logout"}"#, "events"),
        (r#"{"event": 1}"#, "dead"),
        (r#"{"event": "panic"}"#, "dead"),
        (large.as_str(), "matched"),
    ] {
        let receipt = source.send(payload.to_owned()).await.unwrap();
        assert_eq!(receipt.target, target, "{payload:.40}");
    }
    let dead = sink.messages_for("dead");
    let errors: Vec<_> = dead
        .iter()
        .map(|letter| letter.header(dead_letter_headers::ERROR).unwrap())
        .collect();
    assert!(errors[0].contains("the field is not text"), "{errors:?}");
    assert!(errors[1].contains("the evaluation panicked"), "{errors:?}");
    assert_eq!(bridge.bridge_metrics(&id).await.unwrap().condition_errors, 2);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_a_custom_compiler_names_the_rule() {
    let bridge = InProcessBridge::builder()
        .condition_compiler(Arc::new(Equals::default()))
        .build();
    let (source, sink) = (Arc::new(MemorySource::new(4)), Arc::new(MemorySink::new()));
    let invalid = routing("a=b").with_rule(RouteRule::to("second", "a", "t"));
    let created = bridge
        .create_bridge(
            "b",
            source.clone(),
            sink.clone(),
            BridgeConfig::new().with_routing(invalid.clone()),
        )
        .await;
    assert_eq!(created.unwrap_err().field(), Some("routing.rules[1].condition"));

    let config = BridgeConfig::new().with_routing(routing("a=b"));
    let id = bridge.create_bridge("b", source, sink, config).await.unwrap();
    let error = bridge.configure_bridge_routing(&id, invalid).await.unwrap_err();
    assert_eq!(error.field(), Some("rules[1].condition"));
    let error = bridge
        .configure_bridge_routing(&id, routing("panic"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
}

#[tokio::test(start_paused = true)]
async fn the_condition_true_needs_no_compiler() {
    let compiler = Arc::new(Equals::default());
    for bridge in [
        InProcessBridge::new(),
        InProcessBridge::builder().condition_compiler(compiler.clone()).build(),
    ] {
        let (source, sink) = (Arc::new(MemorySource::new(4)), Arc::new(MemorySink::new()));
        let config = BridgeConfig::new().with_routing(routing(" true "));
        bridge.create_bridge("b", source.clone(), sink, config).await.unwrap();
        let receipt = source.send("not json").await.unwrap();
        assert_eq!(
            (receipt.target.as_str(), receipt.rule.as_deref()),
            ("matched", Some("rule"))
        );
    }
    assert!(compiler.compiled.lock().unwrap().is_empty());
}

#[cfg(not(feature = "cel"))]
#[tokio::test(start_paused = true)]
async fn without_a_compiler_a_condition_is_unsupported() {
    let bridge = InProcessBridge::new();
    assert!(!bridge.capabilities().routing);
    let (source, sink) = (Arc::new(MemorySource::new(4)), Arc::new(MemorySink::new()));
    let config = BridgeConfig::new().with_routing(routing("size > 0"));
    let created = bridge
        .create_bridge("b", source.clone(), sink.clone(), config)
        .await
        .unwrap_err();
    let plain = BridgeConfig::new().with_routing(RoutingConfig::new().with_default_target("events"));
    let id = bridge.create_bridge("b", source.clone(), sink, plain).await.unwrap();
    let configured = bridge
        .configure_bridge_routing(&id, routing("size > 0"))
        .await
        .unwrap_err();
    for error in [created, configured] {
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let context: Vec<_> = error.context().collect();
        assert!(context.contains(&("capability", "routing")), "{error}");
        assert!(context.contains(&("feature", "cel")), "{error}");
        assert!(context.contains(&("rule", "rule")), "{error}");
    }
    // The previous routing is still in use.
    assert_eq!(source.send("x").await.unwrap().target, "events");
}

#[test]
fn facts_show_the_message_and_its_payload() {
    let message = |payload: &'static str| BridgeMessage::new("m", payload, std::time::SystemTime::UNIX_EPOCH);
    let condition = Equals::default().compile("event=login").unwrap();
    let matches = |payload| {
        Facts::with(&message(payload), condition.payload_fields(), |facts| {
            assert_eq!(facts.message().id, "m");
            condition.matches(facts)
        })
    };
    assert!(matches(r#"{"event": "login"}"#).unwrap());
    assert!(!matches(r#"{"event": "logout"}"#).unwrap());
    matches("not json").unwrap_err();
    let shown = Facts::with(&message("hunter2"), &PayloadFields::all(), |facts| format!("{facts:?}"));
    assert!(!shown.contains("hunter2"), "{shown}");
}
