//! Settings of topics and brokers.

use std::sync::Arc;

use networking_spi::ErrorKind;
use networking_spi::kafka::{ConfigChange, ConfigEntry, ConfigResource, ConfigSource, KafkaAdmin, ProducerConfig};
use tokio::time::{Instant, sleep};

use super::KafkaAdminHarness;
use crate::kafka::stage::Stage;
use crate::kit::{Applies, CaseResult, Failure};
use crate::{check, check_eq, check_error};

const RETENTION: &str = "retention.ms";
/// A setting whose default brokers report also while the topic sets another value. For `retention.ms` they do not.
const TOMBSTONES: &str = "delete.retention.ms";
const POLICY: &str = "cleanup.policy";
const MAX_BYTES: &str = "message.max.bytes";

pub(super) fn configures(harness: &dyn KafkaAdminHarness) -> Applies {
    Applies::capability(harness.admin_capabilities().configs, "configs")
}

pub(super) fn configures_brokers(harness: &dyn KafkaAdminHarness) -> Applies {
    configures(harness).and(super::admin_cluster::describes(harness))
}

/// A topic or broker whose settings a case reads and changes.
struct Configured {
    harness: Arc<dyn KafkaAdminHarness>,
    admin: Arc<dyn KafkaAdmin>,
    resource: ConfigResource,
}

impl Configured {
    async fn new(harness: Arc<dyn KafkaAdminHarness>, resource: ConfigResource) -> Result<Self, Failure> {
        let admin = harness.admin().await?;
        Ok(Self {
            harness,
            admin,
            resource,
        })
    }

    /// A topic that no other case uses.
    async fn topic(harness: Arc<dyn KafkaAdminHarness>) -> Result<Self, Failure> {
        let topic = harness.topic(1).await?;
        Self::new(harness, ConfigResource::Topic(topic)).await
    }

    async fn setting(&self, name: &str) -> Result<ConfigEntry, Failure> {
        let all = self.admin.describe_config(self.resource.clone()).await?;
        check!(
            all.is_sorted_by(|left, right| left.name < right.name),
            "the settings of {} are not in order",
            self.resource
        );
        let found = all.into_iter().find(|entry| entry.name == name);
        found.ok_or_else(|| Failure::new(format!("{} has no setting {name}", self.resource)))
    }

    async fn alter(&self, changes: impl IntoIterator<Item = ConfigChange>) -> networking_spi::Result<()> {
        let changes = changes.into_iter().collect();
        self.admin.alter_config(self.resource.clone(), changes).await
    }

    /// Waits until a setting is as expected: a broker may need a moment to know it.
    async fn until(&self, name: &str, expected: impl Fn(&ConfigEntry) -> bool) -> Result<ConfigEntry, Failure> {
        let deadline = Instant::now() + self.harness.patience();
        loop {
            let entry = self.setting(name).await?;
            if expected(&entry) {
                return Ok(entry);
            }
            check!(
                Instant::now() < deadline,
                "the setting did not become as expected within {:?}: {entry:?}",
                self.harness.patience()
            );
            sleep(self.harness.quiet()).await;
        }
    }
}

fn has(value: &str, source: ConfigSource) -> impl Fn(&ConfigEntry) -> bool {
    move |entry| entry.value.as_deref() == Some(value) && entry.source == source
}

pub(super) async fn a_setting_has_its_source(harness: Arc<dyn KafkaAdminHarness>) -> CaseResult {
    let topic = Configured::topic(harness).await?;
    let before = topic.setting(TOMBSTONES).await?;
    check!(before.source != ConfigSource::Topic, "an untouched setting: {before:?}");
    check_eq!(
        before.value,
        before.default,
        "value and default of an untouched setting"
    );
    check!(before.value.is_some(), "the setting has no value");
    let segment = topic.setting("segment.index.bytes").await?;
    check!(
        segment.is_default() && !segment.is_read_only && !segment.is_sensitive,
        "{segment:?}"
    );
    let change = ConfigChange::set(TOMBSTONES, "123456789");
    topic.alter([change]).await?;
    let after = topic.until(TOMBSTONES, has("123456789", ConfigSource::Topic)).await?;
    check_eq!(after.default, before.value, "the default of a changed setting");
    Ok(())
}

pub(super) async fn only_named_settings_change(harness: Arc<dyn KafkaAdminHarness>) -> CaseResult {
    let topic = Configured::topic(harness).await?;
    let first = vec![
        ConfigChange::set(RETENTION, "111111111"),
        ConfigChange::set("segment.ms", "222222222"),
    ];
    topic.alter(first).await?;
    topic.until("segment.ms", has("222222222", ConfigSource::Topic)).await?;
    topic.alter([ConfigChange::set(RETENTION, "333333333")]).await?;
    topic.until(RETENTION, has("333333333", ConfigSource::Topic)).await?;
    let kept = topic.setting("segment.ms").await?;
    check!(
        has("222222222", ConfigSource::Topic)(&kept),
        "a setting that was not named: {kept:?}"
    );
    Ok(())
}

pub(super) async fn a_deleted_setting_has_its_default(harness: Arc<dyn KafkaAdminHarness>) -> CaseResult {
    let topic = Configured::topic(harness).await?;
    let before = topic.setting(RETENTION).await?;
    topic.alter([ConfigChange::set(RETENTION, "123456789")]).await?;
    topic.until(RETENTION, has("123456789", ConfigSource::Topic)).await?;
    for attempt in ["once", "again"] {
        let deleted = topic.alter([ConfigChange::delete(RETENTION)]).await;
        check!(deleted.is_ok(), "deleting {attempt}: {deleted:?}");
        topic.until(RETENTION, |entry| *entry == before).await?;
    }
    Ok(())
}

pub(super) async fn lists_are_extended_and_reduced(harness: Arc<dyn KafkaAdminHarness>) -> CaseResult {
    let topic = Configured::topic(harness).await?;
    let steps = [
        (ConfigChange::append(POLICY, "compact"), "delete,compact"),
        (ConfigChange::append(POLICY, "compact"), "delete,compact"),
        (ConfigChange::subtract(POLICY, "delete"), "compact"),
        (ConfigChange::append(POLICY, "delete"), "compact,delete"),
    ];
    for (change, expected) in steps {
        let shown = format!("{change:?}");
        topic.alter([change]).await?;
        topic
            .until(POLICY, has(expected, ConfigSource::Topic))
            .await
            .map_err(|failure| Failure::new(format!("after {shown}: {failure}")))?;
    }
    Ok(())
}

pub(super) async fn a_bad_change_names_its_setting(harness: Arc<dyn KafkaAdminHarness>) -> CaseResult {
    let topic = Configured::topic(harness).await?;
    let valid = || ConfigChange::set("segment.ms", "222222222");
    let bad = [
        (
            vec![valid(), ConfigChange::set(RETENTION, "-2")],
            "changes.retention.ms",
        ),
        (
            vec![ConfigChange::set(RETENTION, "soon"), valid()],
            "changes.retention.ms",
        ),
        (
            vec![valid(), ConfigChange::set("no.such.setting", "1")],
            "changes.no.such.setting",
        ),
        (
            vec![valid(), ConfigChange::delete("no.such.setting")],
            "changes.no.such.setting",
        ),
        (
            vec![valid(), ConfigChange::append(RETENTION, "1")],
            "changes.retention.ms",
        ),
        (
            vec![valid(), ConfigChange::append(POLICY, "compress")],
            "changes.cleanup.policy",
        ),
        (vec![valid(), valid()], "changes.segment.ms"),
        (vec![valid(), ConfigChange::set("", "1")], "changes"),
        (Vec::new(), "changes"),
    ];
    for (changes, field) in bad {
        let shown = format!("{changes:?}");
        let result = topic.alter(changes).await;
        let error = check_error!(result, ErrorKind::InvalidInput, "the changes {shown}");
        check_eq!(error.field(), Some(field), "the field that the error names for {shown}");
        check!(!error.message().is_empty(), "the error for {shown} has no reason");
    }
    // Others may change the defaults of a shared cluster meanwhile.
    let all = topic.admin.describe_config(topic.resource).await?;
    let own: Vec<_> = all.iter().filter(|entry| entry.source == ConfigSource::Topic).collect();
    check!(own.is_empty(), "settings after changes that were refused: {own:?}");
    Ok(())
}

pub(super) async fn a_changed_setting_is_obeyed(harness: Arc<dyn KafkaAdminHarness>) -> CaseResult {
    let stage = Stage::new(harness.clone(), 1).await?;
    let record = || stage.record().with_partition(0).with_value(vec![0; 3000]);
    stage.write(record()).await?;
    let topic = Configured::new(Arc::clone(&harness), ConfigResource::topic(stage.topic.as_str())).await?;
    let change = ConfigChange::set("max.message.bytes", "2000");
    topic.alter([change]).await?;
    topic
        .until("max.message.bytes", has("2000", ConfigSource::Topic))
        .await?;
    // Another client: producers may remember the settings of a topic.
    let client = harness.client().await?;
    let producer = client.create_producer(ProducerConfig::new()).await?;
    let result = client.produce_message(&producer, record()).await;
    check_error!(result, ErrorKind::TooLarge, "a record that the topic allowed before");
    Ok(())
}

pub(super) async fn a_broker_has_settings(harness: Arc<dyn KafkaAdminHarness>) -> CaseResult {
    let admin = harness.admin().await?;
    let cluster = admin.describe_cluster().await?;
    let id = cluster.brokers.first().map_or(0, |broker| broker.id);
    let broker = Configured::new(harness, ConfigResource::Broker(id)).await?;
    let own = broker.setting("node.id").await?;
    check!(own.is_read_only, "the id of a broker can be changed: {own:?}");
    check_eq!(own.value, Some(id.to_string()), "the value of node.id");
    let result = broker.alter([ConfigChange::set("node.id", "7777")]).await;
    let error = check_error!(result, ErrorKind::InvalidInput, "changing a setting that is read-only");
    check_eq!(error.field(), Some("changes.node.id"), "the field that the error names");

    let before = broker.setting(MAX_BYTES).await?;
    let bytes = before.value.as_deref().and_then(|value| value.parse::<u64>().ok());
    let Some(bytes) = bytes else {
        return Err(Failure::new(format!("{MAX_BYTES} is not a number: {before:?}")));
    };
    let larger = (bytes + 1).to_string();
    broker.alter([ConfigChange::set(MAX_BYTES, larger.as_str())]).await?;
    let changed = broker.until(MAX_BYTES, has(&larger, ConfigSource::DynamicBroker)).await;
    broker.alter([ConfigChange::delete(MAX_BYTES)]).await?;
    check!(!changed?.is_read_only, "a setting that can be changed is read-only");
    broker.until(MAX_BYTES, |entry| *entry == before).await?;
    Ok(())
}

pub(super) async fn settings_of_nothing_are_not_found(harness: Arc<dyn KafkaAdminHarness>) -> CaseResult {
    let admin = harness.admin().await?;
    let change = || vec![ConfigChange::set(RETENTION, "123456789")];
    let unknown = ConfigResource::Topic(harness.unique("unknown"));
    let read = admin.describe_config(unknown.clone()).await;
    check_error!(read, ErrorKind::NotFound, "reading settings of {unknown}");
    let altered = admin.alter_config(unknown.clone(), change()).await;
    check_error!(altered, ErrorKind::NotFound, "changing settings of {unknown}");
    let broker = ConfigResource::Broker(7777);
    let read = admin.describe_config(broker.clone()).await;
    check_error!(read, ErrorKind::NotFound, "reading settings of {broker}");
    let changes = vec![ConfigChange::set(MAX_BYTES, "1000000")];
    let altered = admin.alter_config(broker.clone(), changes).await;
    check_error!(altered, ErrorKind::NotFound, "changing settings of {broker}");
    for resource in [
        ConfigResource::topic(""),
        ConfigResource::topic("a/b"),
        ConfigResource::Broker(-1),
    ] {
        let read = admin.describe_config(resource.clone()).await;
        let error = check_error!(read, ErrorKind::InvalidInput, "reading settings of {resource}");
        check_eq!(
            error.field(),
            Some("resource"),
            "the field that the error names for {resource}"
        );
        let altered = admin.alter_config(resource.clone(), change()).await;
        let error = check_error!(altered, ErrorKind::InvalidInput, "changing settings of {resource}");
        check_eq!(
            error.field(),
            Some("resource"),
            "the field that the error names for {resource}"
        );
    }
    Ok(())
}
