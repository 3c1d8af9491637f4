//! Typed ids of handles, and enums with named values.

/// Defines an id: a distinct type per kind of handle, so that a consumer's id cannot be passed as a producer's. Clones
/// share the text.
macro_rules! define_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// For backends, which create the ids. Applications get ids from a backend.
            pub fn new(value: impl Into<std::sync::Arc<str>>) -> Self {
                Self(value.into())
            }

            /// The id as text, for logs.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

pub(crate) use define_id;

/// Defines an enum with named values: variants, documentation and names in one list. Generates `ALL`, `as_str` and
/// `Display`.
macro_rules! name_enum {
    (
        $(#[$attribute:meta])*
        pub enum $name:ident {
            $($(#[$about:meta])* $variant:ident => $text:literal),+ $(,)?
        }
    ) => {
        $(#[$attribute])*
        pub enum $name {
            $($(#[$about])* $variant),+
        }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable name, which is used in messages, logs, metrics and configuration files.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(crate) use name_enum;

/// A [`name_enum`] that can also be parsed: generates `FromStr` and the `serde` traits by name. An unknown name is an
/// error that names the field `$field`.
macro_rules! named_enum {
    (
        $field:literal,
        $(#[$attribute:meta])*
        pub enum $name:ident {
            $($(#[$about:meta])* $variant:ident => $text:literal),+ $(,)?
        }
    ) => {
        $crate::names::name_enum! {
            $(#[$attribute])*
            pub enum $name {
                $($(#[$about])* $variant => $text),+
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::NetworkError;

            /// # Errors
            /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for an unknown name.
            fn from_str(text: &str) -> $crate::Result<Self> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    other => Err($crate::NetworkError::invalid_input(
                        $field,
                        format!("unknown value {other:?}, expected one of {}", [$($text),+].join(", ")),
                    )),
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(|error: $crate::NetworkError| serde::de::Error::custom(error.message()))
            }
        }
    };
}

pub(crate) use named_enum;
