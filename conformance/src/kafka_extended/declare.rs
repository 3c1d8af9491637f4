//! What an implementation declares.

use std::sync::Arc;

use networking_spi::ErrorKind;
use networking_spi::kafka::{DeliveryGuarantee, KafkaSecurity, OptimizationGoal, SchemaType};

use super::KafkaExtendedHarness;
use super::scene::{Scene, copy};
use crate::kit::CaseResult;
use crate::{check_eq, check_error};

pub(super) async fn all_instances_declare_the_same_capabilities(harness: Arc<dyn KafkaExtendedHarness>) -> CaseResult {
    for _ in 0..2 {
        let extended = harness.extended().await?;
        check_eq!(
            extended.extended_capabilities(),
            *harness.extended_capabilities(),
            "capabilities of an instance, compared with those that the harness states"
        );
    }
    Ok(())
}

pub(super) async fn undeclared_operations_are_unsupported(harness: Arc<dyn KafkaExtendedHarness>) -> CaseResult {
    let scene = Scene::new(harness).await?;
    let declared = scene.harness.extended_capabilities();
    let extended = &scene.extended;
    if !declared.streams {
        let created = extended.create_stream_processor(scene.config(), copy()).await;
        check_error!(created, ErrorKind::Unsupported, "a stream processor");
    }
    if !declared.exactly_once {
        let config = scene.config().with_guarantee(DeliveryGuarantee::ExactlyOnce);
        let created = extended.create_stream_processor(config, copy()).await;
        check_error!(created, ErrorKind::Unsupported, "exactly-once processing");
    }
    let subject = scene.harness.unique("subject");
    for schema_type in SchemaType::ALL {
        let schema = super::schema::first(*schema_type);
        if !declared.schema_types.contains(schema_type) {
            let registered = extended.register_schema(&subject, schema.clone()).await;
            check_error!(
                registered,
                ErrorKind::Unsupported,
                "registering a schema in {schema_type}"
            );
        }
        if !declared.compatibility_types.contains(schema_type) {
            let checked = extended.check_schema_compatibility(&subject, schema).await;
            check_error!(checked, ErrorKind::Unsupported, "checking a schema in {schema_type}");
        }
    }
    if !declared.diagnostics {
        let result = extended.kafka_diagnostics(&scene.stage.topic).await;
        check_error!(result, ErrorKind::Unsupported, "diagnostics");
    }
    if !declared.tuning {
        let result = extended.optimize_kafka_performance(OptimizationGoal::Latency).await;
        check_error!(result, ErrorKind::Unsupported, "tuning");
    }
    if !declared.security {
        let result = extended.configure_kafka_security(KafkaSecurity::new()).await;
        check_error!(result, ErrorKind::Unsupported, "security");
    }
    Ok(())
}
