//! Diagnostics, tuning and security.

use std::collections::BTreeMap;
use std::sync::Arc;

use networking_spi::ErrorKind;
use networking_spi::kafka::{KafkaSecurity, OptimizationGoal, SaslConfig, SaslMechanism, TlsConfig};

use super::KafkaExtendedHarness;
use super::scene::{Scene, copy};
use crate::kit::{Applies, CaseResult};
use crate::{check, check_eq, check_error};

pub(super) fn diagnoses(harness: &dyn KafkaExtendedHarness) -> Applies {
    Applies::capability(harness.extended_capabilities().diagnostics, "diagnostics")
}

pub(super) fn diagnoses_groups(harness: &dyn KafkaExtendedHarness) -> Applies {
    diagnoses(harness)
        .and(super::stream::has_streams(harness))
        .and(Applies::capability(harness.capabilities().group_info, "group_info"))
}

pub(super) fn tunes(harness: &dyn KafkaExtendedHarness) -> Applies {
    Applies::capability(harness.extended_capabilities().tuning, "tuning")
}

pub(super) fn secures(harness: &dyn KafkaExtendedHarness) -> Applies {
    Applies::capability(harness.extended_capabilities().security, "security")
}

pub(super) async fn diagnostics_show_partitions(harness: Arc<dyn KafkaExtendedHarness>) -> CaseResult {
    let scene = Scene::new(harness).await?;
    scene.stage.write_numbers(0..3).await?;
    let found = scene.extended.kafka_diagnostics(&scene.stage.topic).await?;
    check_eq!(found.topic, scene.stage.topic, "topic");
    let messages: Vec<_> = found
        .partitions
        .iter()
        .map(|partition| (partition.partition, partition.messages))
        .collect();
    check_eq!(messages, [(0, 3), (1, 0)], "partitions and their messages");
    let metadata = scene.stage.client.topic_metadata(&scene.stage.topic).await?;
    for (diagnosed, partition) in found.partitions.iter().zip(&metadata.partitions) {
        check_eq!(diagnosed.leader, partition.leader, "leader of {}", partition.partition);
        let behind = partition.in_sync_replicas.len() < partition.replicas.len();
        check_eq!(
            diagnosed.under_replicated,
            behind,
            "under_replicated of {}",
            partition.partition
        );
    }
    Ok(())
}

pub(super) async fn diagnostics_show_the_lag_of_groups(harness: Arc<dyn KafkaExtendedHarness>) -> CaseResult {
    let scene = Scene::new(harness).await?;
    scene.stage.write_numbers(0..3).await?;
    let id = scene.run(scene.config(), copy()).await?;
    scene.finish(&id, 3).await?;
    scene.stage.write_numbers(3..5).await?;
    let found = scene.extended.kafka_diagnostics(&scene.stage.topic).await?;
    let Some(group) = found.groups.iter().find(|group| group.group == scene.application) else {
        return Err(crate::Failure::new(format!(
            "the group of the stopped processor is missing: {:?}",
            found.groups
        )));
    };
    check_eq!((group.total(), group.members), (2, 0), "lag and members of the group");
    check!(
        found.warnings.iter().any(|warning| warning.code == "no_consumer"),
        "a group with a lag and without members has no warning: {:?}",
        found.warnings
    );
    Ok(())
}

pub(super) async fn diagnostics_of_an_unknown_topic_are_not_found(
    harness: Arc<dyn KafkaExtendedHarness>,
) -> CaseResult {
    let extended = harness.extended().await?;
    let result = extended.kafka_diagnostics(&harness.unique("nowhere")).await;
    check_error!(
        result,
        ErrorKind::NotFound,
        "diagnostics of a topic that does not exist"
    );
    Ok(())
}

pub(super) async fn tuning_reports_what_it_changes(harness: Arc<dyn KafkaExtendedHarness>) -> CaseResult {
    let extended = harness.extended().await?;
    let mut values = BTreeMap::<String, String>::new();
    for goal in OptimizationGoal::ALL {
        let report = extended.optimize_kafka_performance(*goal).await?;
        check_eq!(report.goal, *goal, "goal");
        for change in report.changes {
            check!(
                change.from != change.to,
                "{goal}: a change that changes nothing: {change:?}"
            );
            if let Some(before) = values.insert(change.setting.clone(), change.to) {
                check_eq!(change.from, before, "{goal}: the value of {} before", change.setting);
            }
        }
        let again = extended.optimize_kafka_performance(*goal).await?;
        check!(again.changes.is_empty(), "{goal} again: {:?}", again.changes);
    }
    Ok(())
}

pub(super) async fn bad_security_names_its_field(harness: Arc<dyn KafkaExtendedHarness>) -> CaseResult {
    let extended = harness.extended().await?;
    let sasl = |mechanism, user: &str, password: &str| {
        KafkaSecurity::new().with_sasl(SaslConfig::new(mechanism, user, password))
    };
    let mut tls = TlsConfig::default();
    tls.certificate_pem = Some("a certificate without its key".to_owned());
    for (security, field) in [
        (sasl(SaslMechanism::ScramSha256, " ", "secret"), "sasl.username"),
        (sasl(SaslMechanism::ScramSha256, "alice", ""), "sasl.password"),
        (sasl(SaslMechanism::Plain, "alice", "secret"), "sasl.mechanism"),
        (KafkaSecurity::new().with_tls(tls), "tls.key_pem"),
    ] {
        let result = extended.configure_kafka_security(security).await;
        let error = check_error!(result, ErrorKind::InvalidInput, "a bad {field}");
        check_eq!(error.field(), Some(field), "the field that the error names");
        check!(!format!("{error:?}").contains("secret"), "the error shows the password");
    }
    Ok(())
}

pub(super) async fn what_is_created_after_configuring_security_works(
    harness: Arc<dyn KafkaExtendedHarness>,
) -> CaseResult {
    let scene = Scene::new(harness).await?;
    scene.stage.write_numbers(0..2).await?;
    scene.extended.configure_kafka_security(KafkaSecurity::new()).await?;
    if scene.harness.extended_capabilities().streams {
        let id = scene.run(scene.config(), copy()).await?;
        scene.finish(&id, 2).await?;
        check_eq!(scene.values(&scene.output, 2).await?, ["0", "1"], "outputs");
    }
    if scene.harness.extended_capabilities().diagnostics {
        let found = scene.extended.kafka_diagnostics(&scene.stage.topic).await?;
        check_eq!(found.partitions.len(), 2, "partitions");
    }
    Ok(())
}
