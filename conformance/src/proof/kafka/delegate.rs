//! The harness of saboteurs, which passes everything to the harness of correct clients, except for what the saboteurs change.

/// Implements [`Harness`](crate::Harness) and [`KafkaHarness`](crate::kafka::KafkaHarness) for a `SaboteurHarness<H>` with the
/// fields `inner`, of a type with the trait `bound`, and `saboteur`. Functions of the saboteur change the clients, and what they
/// declare.
macro_rules! delegate_to_inner {
    (
        bound $bound:ident;
        client $client:expr;
        capabilities $capabilities:expr;
    ) => {
        impl<H: $bound> $crate::Harness for SaboteurHarness<H> {
            fn backend(&self) -> &'static str {
                self.inner.backend()
            }

            fn runtime(&self) -> $crate::CaseRuntime {
                self.inner.runtime()
            }

            fn patience(&self) -> ::std::time::Duration {
                self.inner.patience()
            }

            fn known_failures(&self) -> Vec<$crate::KnownFailure> {
                Vec::new()
            }
        }

        #[::async_trait::async_trait]
        impl<H: $bound> $crate::kafka::KafkaHarness for SaboteurHarness<H> {
            async fn client(
                &self,
            ) -> Result<::std::sync::Arc<dyn ::networking_spi::kafka::KafkaClient>, $crate::Failure> {
                let client: fn(
                    Saboteur,
                    ::std::sync::Arc<dyn ::networking_spi::kafka::KafkaClient>,
                ) -> ::std::sync::Arc<dyn ::networking_spi::kafka::KafkaClient> = $client;
                Ok(client(self.saboteur, self.inner.client().await?))
            }

            fn capabilities(&self) -> &'static ::networking_spi::kafka::KafkaCapabilities {
                let capabilities: fn(
                    Saboteur,
                    &'static ::networking_spi::kafka::KafkaCapabilities,
                ) -> &'static ::networking_spi::kafka::KafkaCapabilities = $capabilities;
                capabilities(self.saboteur, self.inner.capabilities())
            }

            async fn topic(&self, partitions: i32) -> Result<String, $crate::Failure> {
                self.inner.topic(partitions).await
            }

            fn unique(&self, what: &str) -> String {
                self.inner.unique(what)
            }

            fn quiet(&self) -> ::std::time::Duration {
                self.inner.quiet()
            }

            fn unknown_topics_stay_unknown(&self) -> bool {
                self.inner.unknown_topics_stay_unknown()
            }

            fn client_ids(&self) -> Option<::std::collections::BTreeSet<String>> {
                self.inner.client_ids()
            }

            fn can_crash(&self) -> bool {
                self.inner.can_crash()
            }

            async fn crash(&self, consumer: &::networking_spi::kafka::ConsumerId) -> $crate::CaseResult {
                self.inner.crash(consumer).await
            }

            fn can_abort(&self) -> bool {
                self.inner.can_abort()
            }

            async fn write_aborted(&self, topic: &str, value: &str) -> $crate::CaseResult {
                self.inner.write_aborted(topic, value).await
            }

            fn can_interrupt(&self) -> bool {
                self.inner.can_interrupt()
            }

            async fn interrupt(&self, topic: &str, interrupted: bool) -> $crate::CaseResult {
                self.inner.interrupt(topic, interrupted).await
            }
        }
    };
}

pub(in crate::proof) use delegate_to_inner;
