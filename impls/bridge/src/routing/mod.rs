//! Routing of messages: rules with conditions, evaluated in order.
//!
//! A condition is text in a configuration. A [`ConditionCompiler`] compiles it once, when the routing is configured; the
//! [`Router`] then evaluates the compiled [`Condition`] for each message. Only the compiler knows the language of the text and
//! the library that evaluates it.

#[cfg(feature = "cel")]
mod cel;
mod payload;
mod router;

use std::fmt;
use std::sync::Arc;
#[cfg(feature = "cel")]
use std::sync::OnceLock;

use networking_spi::Result;
use networking_spi::bridge::BridgeMessage;

#[cfg(feature = "cel")]
pub use cel::CelCompiler;
pub use payload::PayloadFields;
pub(crate) use router::{Decision, Route, Router};

use payload::Payload;

/// Compiles the conditions of routing rules.
///
/// [`InProcessBridgeBuilder::condition_compiler`](crate::InProcessBridgeBuilder::condition_compiler) takes one; the default
/// is `CelCompiler`, with the feature `cel`.
///
/// ```
/// use std::sync::Arc;
/// use networking_bridge::{Condition, ConditionCompiler, Facts, InProcessBridge, PayloadFields};
/// use networking_spi::Result;
///
/// /// Conditions are content types: `application/json`.
/// #[derive(Debug)]
/// struct ContentTypes;
///
/// #[derive(Debug)]
/// struct ContentType(String, PayloadFields);
///
/// impl ConditionCompiler for ContentTypes {
///     fn compile(&self, text: &str) -> Result<Arc<dyn Condition>> {
///         Ok(Arc::new(ContentType(text.to_owned(), PayloadFields::none())))
///     }
/// }
///
/// impl Condition for ContentType {
///     fn payload_fields(&self) -> &PayloadFields {
///         &self.1
///     }
///
///     fn matches(&self, facts: &Facts<'_>) -> Result<bool> {
///         Ok(facts.message().content_type.as_deref() == Some(self.0.as_str()))
///     }
/// }
///
/// let bridge = InProcessBridge::builder().condition_compiler(Arc::new(ContentTypes)).build();
/// ```
pub trait ConditionCompiler: fmt::Debug + Send + Sync + 'static {
    /// Compiles the text of one condition.
    ///
    /// It runs on tokio's blocking pool. The text has at most
    /// [`MAX_CONDITION_LENGTH`](networking_spi::bridge::MAX_CONDITION_LENGTH) bytes. The condition `true` is not passed to
    /// it: such a rule matches every message.
    ///
    /// # Errors
    /// [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) for the field `condition`. The bridge adds the position of
    /// the rule, as in `rules[2].condition`. A panic becomes [`Internal`](networking_spi::ErrorKind::Internal).
    fn compile(&self, text: &str) -> Result<Arc<dyn Condition>>;
}

/// A compiled condition.
pub trait Condition: fmt::Debug + Send + Sync + 'static {
    /// The fields of the payload that the condition reads. If no condition of a bridge reads the payload, it is not parsed.
    fn payload_fields(&self) -> &PayloadFields;

    /// Whether the condition is true for a message.
    ///
    /// It runs on a worker thread of the runtime (for a payload above 128 KiB that some condition reads, on the blocking
    /// pool), so it must not block.
    ///
    /// # Errors
    /// Any error if the condition cannot be evaluated; [`ErrorAction`](networking_spi::bridge::ErrorAction) then decides. Its
    /// message is logged and sent with dead letters, so it must not contain data of the message. A panic counts as an error.
    fn matches(&self, facts: &Facts<'_>) -> Result<bool>;
}

/// A message, as conditions see it.
///
/// All conditions of a bridge share one `Facts` per message, so the payload is parsed at most once.
pub struct Facts<'m> {
    message: &'m BridgeMessage,
    payload: &'m Payload,
    /// The fields of the payload that all conditions of the bridge read.
    #[cfg(feature = "cel")]
    read: &'m PayloadFields,
    /// The message as values of CEL, converted once for all conditions.
    #[cfg(feature = "cel")]
    variables: OnceLock<cel::Variables<'m>>,
}

impl Facts<'_> {
    /// Calls `ask` with the facts of a message. `read` has the fields of the payload that all conditions together read.
    ///
    /// The bridge does this for each message. Tests of a [`Condition`] can do the same.
    ///
    /// ```
    /// use std::time::SystemTime;
    /// use networking_bridge::{Facts, PayloadFields};
    /// use networking_spi::bridge::BridgeMessage;
    ///
    /// let message = BridgeMessage::new("1", r#"{"n": 7}"#, SystemTime::UNIX_EPOCH);
    /// let n = Facts::with(&message, &PayloadFields::all(), |facts| facts.payload()["n"].as_i64());
    /// assert_eq!(n, Some(7));
    /// ```
    pub fn with<R>(message: &BridgeMessage, read: &PayloadFields, ask: impl FnOnce(&Facts<'_>) -> R) -> R {
        #[cfg(not(feature = "cel"))]
        let _ = read;
        let payload = Payload::new(message.payload.clone());
        ask(&Facts {
            message,
            payload: &payload,
            #[cfg(feature = "cel")]
            read,
            #[cfg(feature = "cel")]
            variables: OnceLock::new(),
        })
    }

    /// The message.
    pub fn message(&self) -> &BridgeMessage {
        self.message
    }

    /// The payload as JSON, parsed by the first call; null if it is not JSON.
    pub fn payload(&self) -> &serde_json::Value {
        self.payload.json()
    }
}

#[cfg(feature = "cel")]
impl<'m> Facts<'m> {
    /// The message as values of CEL.
    fn variables(&self) -> &cel::Variables<'m> {
        self.variables
            .get_or_init(|| cel::Variables::new(self.message, self.payload, self.read))
    }
}

impl fmt::Debug for Facts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Facts")
            .field("message", self.message)
            .finish_non_exhaustive()
    }
}

/// The compiler that a bridge uses if the application sets none.
#[cfg_attr(
    feature = "cel",
    allow(clippy::unnecessary_wraps, reason = "without the feature there is none")
)]
pub(crate) fn default_compiler() -> Option<Arc<dyn ConditionCompiler>> {
    #[cfg(feature = "cel")]
    return Some(Arc::new(CelCompiler::new()));
    #[cfg(not(feature = "cel"))]
    None
}
