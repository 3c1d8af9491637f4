//! Capabilities: what an implementation declares that it supports.

/// Defines a set of capabilities: fields, documentation and names in one list. Generates `NAMES`, `none`, `entries` and
/// `require`, and also `all` if every field is a flag.
///
/// A field without a type is a flag. A field with a type is a flag or a list of supported values; a list is declared if it
/// is not empty.
macro_rules! capabilities {
    (
        $(#[$attribute:meta])*
        pub struct $name:ident {
            $($(#[$about:meta])* $capability:ident),+ $(,)?
        }
    ) => {
        $crate::capabilities::capabilities! {
            $(#[$attribute])*
            #[derive(Copy)]
            pub struct $name {
                $($(#[$about])* $capability: bool),+
            }
        }

        impl $name {
            /// Every capability.
            pub const fn all() -> Self {
                Self { $($capability: true),+ }
            }
        }
    };
    (
        $(#[$attribute:meta])*
        pub struct $name:ident {
            $($(#[$about:meta])* $capability:ident: $type:ty),+ $(,)?
        }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$about])* pub $capability: $type),+
        }

        impl $name {
            /// The names of the capabilities, in the order of declaration.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($capability)),+];

            /// No capability.
            pub const fn none() -> Self {
                Self { $($capability: <$type as $crate::capabilities::Capability>::NONE),+ }
            }

            /// The name of each capability, and whether it is declared. A list is declared if it is not empty.
            pub fn entries(&self) -> impl Iterator<Item = (&'static str, bool)> + use<> {
                use $crate::capabilities::Capability;
                [$((stringify!($capability), self.$capability.is_declared())),+].into_iter()
            }

            /// For implementers: fails with an error of `operation` unless `capability`, one of
            /// [`NAMES`](Self::NAMES), is declared.
            ///
            /// # Errors
            /// [`Unsupported`](crate::ErrorKind::Unsupported) naming the capability, also if the name is not in
            /// [`NAMES`](Self::NAMES).
            pub fn require(&self, operation: &'static str, capability: &'static str) -> $crate::Result<()> {
                if self.entries().any(|(name, declared)| declared && name == capability) {
                    return Ok(());
                }
                Err($crate::NetworkError::unsupported(operation, capability))
            }
        }
    };
}

pub(crate) use capabilities;

/// The type of a field in a set of capabilities.
pub(crate) trait Capability {
    /// The value that declares nothing.
    const NONE: Self;

    fn is_declared(&self) -> bool;
}

impl Capability for bool {
    const NONE: Self = false;

    fn is_declared(&self) -> bool {
        *self
    }
}

impl<T> Capability for Vec<T> {
    const NONE: Self = Self::new();

    fn is_declared(&self) -> bool {
        !self.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use crate::circuit_breaker::CircuitBreakerCapabilities;
    use crate::compression::CompressionType;
    use crate::error::{ErrorKind, context};
    use crate::http::{HttpCapabilities, HttpExtendedCapabilities};

    #[test]
    fn names_are_those_of_the_fields() {
        assert_eq!(
            CircuitBreakerCapabilities::NAMES,
            [
                "count_window",
                "time_window",
                "slow_call_rate",
                "metrics_only",
                "events",
                "probe_limits",
                "probe_leases",
                "overrides"
            ]
        );
        let names: Vec<_> = HttpCapabilities::none().entries().map(|(name, _)| name).collect();
        assert_eq!(names, HttpCapabilities::NAMES);
    }

    #[test]
    fn none_declares_nothing_and_all_everything() {
        assert_eq!(HttpCapabilities::none(), HttpCapabilities::default());
        assert!(HttpCapabilities::none().entries().all(|(_, declared)| !declared));
        assert!(HttpCapabilities::all().entries().all(|(_, declared)| declared));
        assert_eq!(HttpExtendedCapabilities::none(), HttpExtendedCapabilities::default());
    }

    #[test]
    fn what_is_not_declared_is_unsupported() {
        let mut capabilities = HttpExtendedCapabilities::none();
        for name in HttpExtendedCapabilities::NAMES {
            let error = capabilities.require("http.test", name).unwrap_err();
            assert_eq!((error.kind(), error.operation()), (ErrorKind::Unsupported, "http.test"));
            assert_eq!(error.get(context::CAPABILITY), Some(*name));
        }
        capabilities.jwt = true;
        capabilities.compression.push(CompressionType::Gzip);
        capabilities.require("http.test", "jwt").unwrap();
        capabilities.require("http.test", "compression").unwrap();
        capabilities.require("http.test", "oauth2").unwrap_err();
        capabilities.require("http.test", "no such capability").unwrap_err();
    }
}
