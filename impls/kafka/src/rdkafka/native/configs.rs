//! Settings of topics and brokers.

use std::borrow::Cow;
use std::time::Duration;

use networking_spi::kafka::{ConfigChange, ConfigEntry, ConfigOperation, ConfigResource, ConfigSource};
use rdkafka::bindings as c;
use rdkafka::client::{Client, ClientContext};

use c::rd_kafka_admin_op_t as Operation;

use super::object::{Owned, elements, string, text};
use super::refusal::{Refusal, Result, check, refusal};
use super::request::{request, result};

/// All settings of a topic or a broker.
pub(in crate::rdkafka) fn describe_config<C: ClientContext>(
    client: &Client<C>,
    of: &ConfigResource,
    limit: Duration,
) -> Result<Vec<ConfigEntry>> {
    let asked = resource(of)?;
    let mut all = [asked.pointer()];
    let event = request(client, Operation::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, limit, |to| {
        // SAFETY: all pointers are owned and live longer than the call, which copies what is asked.
        unsafe { c::rd_kafka_DescribeConfigs(to.client, all.as_mut_ptr(), 1, to.options, to.queue) };
    })?;
    let mut settings = Vec::new();
    let mut count = 0;
    // SAFETY: the event is owned. Its results live as long as it does; their numbers are those in `count`.
    unsafe {
        let result = result(&event, c::rd_kafka_event_DescribeConfigs_result)?;
        let resources = c::rd_kafka_DescribeConfigs_result_resources(result, &raw mut count);
        for resource in elements(resources, count) {
            check(
                c::rd_kafka_ConfigResource_error(*resource),
                c::rd_kafka_ConfigResource_error_string(*resource),
            )?;
            let mut number = 0;
            let entries = c::rd_kafka_ConfigResource_configs(*resource, &raw mut number);
            settings.extend(elements(entries, number).iter().map(|entry| setting(*entry, of)));
        }
    }
    Ok(settings)
}

/// Changes settings of a topic or a broker.
pub(in crate::rdkafka) fn alter_config<C: ClientContext>(
    client: &Client<C>,
    of: &ConfigResource,
    changes: &[ConfigChange],
    limit: Duration,
) -> Result<()> {
    use c::rd_kafka_AlterConfigOpType_t as Kind;
    let altered = resource(of)?;
    for change in changes {
        let (kind, value) = match &change.operation {
            ConfigOperation::Set(value) => (Kind::RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET, value.as_str()),
            ConfigOperation::Delete => (Kind::RD_KAFKA_ALTER_CONFIG_OP_TYPE_DELETE, ""),
            ConfigOperation::Append(value) => (Kind::RD_KAFKA_ALTER_CONFIG_OP_TYPE_APPEND, value.as_str()),
            ConfigOperation::Subtract(value) => (Kind::RD_KAFKA_ALTER_CONFIG_OP_TYPE_SUBTRACT, value.as_str()),
            _ => return Err(Refusal::invalid(format!("{} cannot change in this way", change.name))),
        };
        let (name, value) = (string(&change.name)?, string(value)?);
        // SAFETY: the resource is owned, and the strings live longer than the call, which copies them.
        let error = unsafe {
            c::rd_kafka_ConfigResource_add_incremental_config(altered.pointer(), name.as_ptr(), kind, value.as_ptr())
        };
        if let Some(error) = Owned::new(error, c::rd_kafka_error_destroy) {
            // SAFETY: the error is owned.
            unsafe { refusal(error.pointer()) }?;
        }
    }
    let mut all = [altered.pointer()];
    let operation = Operation::RD_KAFKA_ADMIN_OP_INCREMENTALALTERCONFIGS;
    let event = request(client, operation, limit, |to| {
        // SAFETY: all pointers are owned and live longer than the call, which copies what is asked.
        unsafe { c::rd_kafka_IncrementalAlterConfigs(to.client, all.as_mut_ptr(), 1, to.options, to.queue) };
    })?;
    let mut count = 0;
    // SAFETY: the event is owned. Its results live as long as it does; their number is `count`.
    unsafe {
        let result = result(&event, c::rd_kafka_event_IncrementalAlterConfigs_result)?;
        let resources = c::rd_kafka_IncrementalAlterConfigs_result_resources(result, &raw mut count);
        for resource in elements(resources, count) {
            check(
                c::rd_kafka_ConfigResource_error(*resource),
                c::rd_kafka_ConfigResource_error_string(*resource),
            )?;
        }
    }
    Ok(())
}

/// Makes the name of a resource for librdkafka.
fn resource(resource: &ConfigResource) -> Result<Owned<c::rd_kafka_ConfigResource_t>> {
    let (kind, name) = match resource {
        ConfigResource::Topic(name) => (c::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC, name.clone()),
        ConfigResource::Broker(id) => (c::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_BROKER, id.to_string()),
        _ => return Err(Refusal::invalid("the resource is not known")),
    };
    let name = string(&name)?;
    // SAFETY: the name lives longer than the call, which copies it.
    let made = unsafe { c::rd_kafka_ConfigResource_new(kind, name.as_ptr()) };
    Owned::new(made, c::rd_kafka_ConfigResource_destroy).ok_or_else(|| Refusal::invalid("the name is not valid"))
}

/// # Safety
/// `entry` must point to a setting.
unsafe fn setting(entry: *const c::rd_kafka_ConfigEntry_t, of: &ConfigResource) -> ConfigEntry {
    let mut count = 0;
    // SAFETY: of the caller. The strings and the synonyms, whose number is `count`, live as long as the setting.
    unsafe {
        let owned = |value| text(value).map(Cow::into_owned);
        let own = match of {
            ConfigResource::Topic(_) => ConfigSource::Topic,
            _ => ConfigSource::DynamicBroker,
        };
        let name = owned(c::rd_kafka_ConfigEntry_name(entry)).unwrap_or_default();
        let value = owned(c::rd_kafka_ConfigEntry_value(entry));
        let from = source(c::rd_kafka_ConfigEntry_source(entry));
        let default = if from == own {
            // The synonyms are ordered by precedence, and the value in effect is among them.
            let synonyms = c::rd_kafka_ConfigEntry_synonyms(entry, &raw mut count);
            elements(synonyms, count)
                .iter()
                .filter(|synonym| source(c::rd_kafka_ConfigEntry_source(**synonym)) != own)
                .find_map(|synonym| {
                    let other = text(c::rd_kafka_ConfigEntry_name(*synonym))?;
                    converted(&name, &other, owned(c::rd_kafka_ConfigEntry_value(*synonym))?)
                })
        } else {
            value.clone()
        };
        let read = ConfigEntry::new(name, default)
            .with_value(value, from)
            .with_read_only(c::rd_kafka_ConfigEntry_is_read_only(entry) == 1);
        if c::rd_kafka_ConfigEntry_is_sensitive(entry) == 1 {
            read.into_sensitive()
        } else {
            read
        }
    }
}

/// The value of a synonym in the unit of a setting: `log.retention.hours` is a synonym of `retention.ms`.
fn converted(name: &str, synonym: &str, value: String) -> Option<String> {
    let unit = |setting: &str| setting.rsplit_once('.').map(|(_, unit)| unit.to_owned());
    let millis: i64 = match (unit(name).as_deref(), unit(synonym).as_deref()) {
        (Some("ms"), Some("hours")) => 3_600_000,
        (Some("ms"), Some("minutes")) => 60_000,
        _ => return Some(value),
    };
    match value.parse::<i64>().ok()? {
        unlimited if unlimited < 0 => Some(value),
        number => Some(number.checked_mul(millis)?.to_string()),
    }
}

fn source(source: c::rd_kafka_ConfigSource_t) -> ConfigSource {
    use c::rd_kafka_ConfigSource_t as Source;
    match source {
        Source::RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG => ConfigSource::Topic,
        Source::RD_KAFKA_CONFIG_SOURCE_DYNAMIC_BROKER_CONFIG => ConfigSource::DynamicBroker,
        Source::RD_KAFKA_CONFIG_SOURCE_DYNAMIC_DEFAULT_BROKER_CONFIG => ConfigSource::DynamicDefaultBroker,
        Source::RD_KAFKA_CONFIG_SOURCE_STATIC_BROKER_CONFIG => ConfigSource::StaticBroker,
        Source::RD_KAFKA_CONFIG_SOURCE_DEFAULT_CONFIG => ConfigSource::Default,
        _ => ConfigSource::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn synonyms_are_converted_to_the_unit_of_the_setting() {
        for (name, synonym, value, expected) in [
            ("retention.ms", "log.retention.hours", "168", Some("604800000")),
            ("retention.ms", "log.retention.minutes", "2", Some("120000")),
            ("retention.ms", "log.retention.hours", "-1", Some("-1")),
            ("retention.ms", "log.retention.ms", "5", Some("5")),
            ("log.retention.hours", "log.retention.hours", "168", Some("168")),
            ("retention.ms", "log.retention.hours", "9223372036854775807", None),
        ] {
            assert_eq!(
                converted(name, synonym, value.to_owned()).as_deref(),
                expected,
                "{name} {synonym}"
            );
        }
    }
}
