//! The macro that defines the suite of a domain, and the macro that outside crates expand.

/// Defines a domain's suite from its list of cases: the function `suite()`, and the exported macro that expands to one
/// `#[test]` per case, in a module per module of cases.
///
/// `domain` is the name of the domain in reports, and the path of its module in this crate. `modules` lists the modules of the
/// cases. The names of cases are unique within a module. `if` names a function
/// `fn(&H) -> Applies`.
#[allow(unused_macros, reason = "unused without any domain feature")]
macro_rules! define_suite {
    (
        ($d:tt)
        $(#[$doc:meta])*
        macro $name:ident;
        domain $domain:literal in $($module:ident)::+;
        harness dyn $harness:ident;
        modules { $($group:ident),+ $(,)? }
        cases $cases:tt
    ) => {
        $crate::kit::define_suite! { @suite $domain; $harness; { $($group)+ } $cases }

        impl<T: $harness> $crate::IntoHarness<dyn $harness> for T {
            fn into_harness(self) -> ::std::sync::Arc<dyn $harness> {
                ::std::sync::Arc::new(self)
            }
        }

        impl<T: $harness> $crate::IntoHarness<dyn $harness> for ::std::sync::Arc<T> {
            fn into_harness(self) -> ::std::sync::Arc<dyn $harness> {
                self
            }
        }

        $(#[$doc])*
        #[macro_export]
        macro_rules! $name {
            (@tests ($d d:tt)) => {
                $(
                    mod $group {
                        macro_rules! only {
                            ($group $d d case:ident) => {
                                #[test]
                                fn $d d case() {
                                    let case = concat!(stringify!($group), "::", stringify!($d d case));
                                    super::TESTS_OF_HARNESS.run(case);
                                }
                            };
                            ($d d other:ident $d d case:ident) => {};
                        }

                        $crate::tests_of_cases!(only $cases);
                    }
                )+
            };
            ($d factory:expr) => {
                #[allow(dead_code, reason = "only tests use it")]
                static TESTS_OF_HARNESS: ::std::sync::LazyLock<
                    $crate::CaseTests<dyn $crate::$($module::)+$harness>,
                > = ::std::sync::LazyLock::new(|| {
                    $crate::CaseTests::new($crate::$($module::)+suite(), harness_under_test, module_path!())
                });

                // The only use of the factory, so that a factory of another type is reported once.
                #[allow(dead_code, clippy::redundant_closure_call, reason = "tests use it; the factory may be a closure")]
                fn harness_under_test() -> ::std::sync::Arc<dyn $crate::$($module::)+$harness> {
                    $crate::IntoHarness::<dyn $crate::$($module::)+$harness>::into_harness(($d factory)())
                }

                #[test]
                fn known_failures_are_cases() {
                    TESTS_OF_HARNESS.check_known_failures();
                }

                $crate::$name!(@tests ($d));
            };
        }
    };
    (
        @suite $domain:literal; $harness:ident; { $($group:ident)+ }
        { $($clause:literal $module:ident::$case:ident $(if $applies:path)?),+ $(,)? }
    ) => {
        /// All cases of this domain.
        pub fn suite() -> $crate::Suite<dyn $harness> {
            /// A case in a module that `modules` does not list would have no test.
            #[allow(non_camel_case_types, reason = "named like the modules")]
            mod listed {
                $(pub(super) struct $group;)+
            }
            $(let _ = listed::$module;)+

            $crate::Suite {
                domain: $domain,
                cases: vec![$($crate::Case {
                    id: concat!($domain, "::", stringify!($module), "::", stringify!($case)),
                    clause: $clause,
                    applies: {
                        #[allow(unused_mut, unused_assignments)]
                        let mut applies: fn(&dyn $harness) -> $crate::Applies = |_| $crate::Applies::Yes;
                        $(applies = $applies;)?
                        applies
                    },
                    run: |harness| Box::pin($module::$case(harness)),
                }),+],
            }
        }
    };
}

#[allow(unused_imports, reason = "unused without any domain feature")]
pub(crate) use define_suite;

/// Calls a macro with the module and the name of each case of a list.
#[doc(hidden)]
#[macro_export]
macro_rules! tests_of_cases {
    ($call:ident { $($clause:literal $module:ident::$case:ident $(if $applies:path)?),+ $(,)? }) => {
        $($call!($module $case);)+
    };
}
