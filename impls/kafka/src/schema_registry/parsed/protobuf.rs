//! Protocol Buffers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use networking_spi::Result;
use prost_reflect::prost::Message as _;
use prost_reflect::{Cardinality, DescriptorPool, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor};
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

use super::{Referenced, invalid};

/// The file name of the schema that is compiled. A reference of this name is ignored.
const ROOT: &str = "__root__.proto";

#[derive(Debug)]
pub(in crate::schema_registry) struct ProtobufSchema {
    file: FileDescriptor,
    canonical: Vec<u8>,
}

impl ProtobufSchema {
    pub(super) fn parse(text: &str, referenced: &[Referenced]) -> Result<Self> {
        let mut sources = BTreeMap::from([(ROOT.to_owned(), text.to_owned())]);
        for other in referenced {
            sources
                .entry(other.name.clone())
                .or_insert_with(|| other.schema.text.clone());
        }
        let mut files = ChainFileResolver::new();
        files.add(Sources(sources));
        // Google's well-known types can be imported without a reference.
        files.add(GoogleFileResolver::new());
        let mut compiler = Compiler::with_file_resolver(files);
        compiler.include_source_info(false).include_imports(true);
        compiler.open_file(ROOT).map_err(invalid)?;
        let pool: DescriptorPool = compiler.descriptor_pool();
        let file = pool
            .get_file_by_name(ROOT)
            .ok_or_else(|| invalid("the compiler returned no file"))?;
        let mut proto = file.file_descriptor_proto().clone();
        // Comments and positions are not part of the canonical form.
        proto.source_code_info = None;
        let canonical = proto.encode_to_vec();
        Ok(Self { file, canonical })
    }

    pub(super) fn canonical(&self) -> &[u8] {
        &self.canonical
    }

    pub(super) fn incompatibilities_with(&self, reader: &Self) -> Vec<String> {
        let mut problems = Vec::new();
        let readers = messages(&reader.file);
        for (name, writer) in messages(&self.file) {
            match readers.get(&name) {
                Some(reader) => compare_messages(&writer, reader, &mut problems),
                None => problems.push(format!("message {name} is missing")),
            }
        }
        problems
    }
}

/// Schema texts by file name.
struct Sources(BTreeMap<String, String>);

impl FileResolver for Sources {
    fn resolve_path(&self, path: &Path) -> Option<String> {
        path.to_str()
            .filter(|name| self.0.contains_key(*name))
            .map(str::to_owned)
    }

    fn open_file(&self, name: &str) -> std::result::Result<File, protox::Error> {
        match self.0.get(name) {
            Some(source) => File::from_source(name, source),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

/// The messages of a file by full name, including nested ones, without map entries.
fn messages(file: &FileDescriptor) -> BTreeMap<String, MessageDescriptor> {
    let mut found = BTreeMap::new();
    let mut waiting = file.messages().collect::<Vec<_>>();
    while let Some(message) = waiting.pop() {
        if !message.is_map_entry() {
            waiting.extend(message.child_messages());
            found.insert(message.full_name().to_owned(), message);
        }
    }
    found
}

fn compare_messages(writer: &MessageDescriptor, reader: &MessageDescriptor, problems: &mut Vec<String>) {
    for field in reader.fields() {
        let required = field.cardinality() == Cardinality::Required;
        match writer.get_field(field.number()) {
            Some(written) => {
                if let Some(problem) = compare_fields(&written, &field) {
                    problems.push(format!("{}, field {}: {problem}", writer.full_name(), field.number()));
                }
                if required && written.cardinality() != Cardinality::Required {
                    problems.push(format!(
                        "{}, field {} became required",
                        writer.full_name(),
                        field.number()
                    ));
                }
            }
            None if required => {
                problems.push(format!(
                    "{}, required field {} is not in the schema of the writer",
                    writer.full_name(),
                    field.number()
                ));
            }
            None => {}
        }
    }
    for oneof in reader.oneofs().filter(|oneof| !is_synthetic(oneof)) {
        let groups = oneof
            .fields()
            .filter_map(|field| writer.get_field(field.number()))
            .map(|written| exclusion_group(&written));
        if groups.collect::<BTreeSet<_>>().len() > 1 {
            problems.push(format!(
                "{}: independent fields were moved into oneof {}",
                writer.full_name(),
                oneof.name()
            ));
        }
    }
}

/// The oneof of a field, or its number if it is in none.
fn exclusion_group(field: &FieldDescriptor) -> Result<String, u32> {
    match field.containing_oneof() {
        Some(oneof) if !is_synthetic(&oneof) => Ok(oneof.name().to_owned()),
        _ => Err(field.number()),
    }
}

/// The compiler puts each `optional` field of proto3 into a synthetic oneof.
fn is_synthetic(oneof: &prost_reflect::OneofDescriptor) -> bool {
    let mut fields = oneof.fields();
    matches!((fields.next(), fields.next()), (Some(field), None) if field.field_descriptor_proto().proto3_optional())
}

fn compare_fields(writer: &FieldDescriptor, reader: &FieldDescriptor) -> Option<String> {
    let (from, to) = (writer.kind(), reader.kind());
    if writer.is_map() && reader.is_map() {
        let (Some(from), Some(to)) = (from.as_message(), to.as_message()) else {
            return None;
        };
        return compare_fields(&from.map_entry_key_field(), &to.map_entry_key_field())
            .or_else(|| compare_fields(&from.map_entry_value_field(), &to.map_entry_value_field()));
    }
    if writer.is_list() != reader.is_list() || writer.is_map() != reader.is_map() {
        return Some("it is repeated in only one of the schemas".to_owned());
    }
    if encoding(&from) == encoding(&to) {
        None
    } else {
        Some(format!("{from:?} is read as {to:?}"))
    }
}

/// The encoding of a field. A field of one kind can be read as another kind with the same encoding.
#[derive(Debug, PartialEq, Eq)]
enum Encoding {
    Varint,
    ZigZag,
    Fixed32,
    Fixed64,
    Float,
    Double,
    Bytes,
    Message(String),
}

fn encoding(kind: &Kind) -> Encoding {
    match kind {
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Bool | Kind::Enum(_) => Encoding::Varint,
        Kind::Sint32 | Kind::Sint64 => Encoding::ZigZag,
        Kind::Fixed32 | Kind::Sfixed32 => Encoding::Fixed32,
        Kind::Fixed64 | Kind::Sfixed64 => Encoding::Fixed64,
        Kind::Float => Encoding::Float,
        Kind::Double => Encoding::Double,
        Kind::String | Kind::Bytes => Encoding::Bytes,
        Kind::Message(message) => Encoding::Message(message.full_name().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use networking_spi::kafka::{Schema, SchemaType};

    use super::*;

    fn message(fields: &str) -> ProtobufSchema {
        ProtobufSchema::parse(&format!("syntax = \"proto3\"; message M {{ {fields} }}"), &[]).expect("valid")
    }

    fn reads(writer: &ProtobufSchema, reader: &ProtobufSchema) -> bool {
        writer.incompatibilities_with(reader).is_empty()
    }

    #[test]
    fn fields_can_be_added_and_removed_and_keep_their_encoding() {
        let base = message("int32 a = 1;");
        for (other, compatible) in [
            ("int32 a = 1; string b = 2;", true),
            ("int32 renamed = 1;", true),
            ("int64 a = 1;", true),
            ("optional int32 a = 1;", true),
            ("", true),
            ("sint32 a = 1;", false),
            ("string a = 1;", false),
            ("repeated int32 a = 1;", false),
            ("map<string, string> a = 1;", false),
        ] {
            let other_schema = message(other);
            assert_eq!(reads(&base, &other_schema), compatible, "{other}");
            assert_eq!(
                reads(&other_schema, &base),
                compatible,
                "{other}, in the other direction"
            );
        }
        let strings = message("map<string, string> a = 1;");
        assert!(!reads(&strings, &message("map<string, int32> a = 1;")));
        assert!(reads(&strings, &message("map<string, bytes> a = 1;")));
    }

    #[test]
    fn messages_cannot_be_removed() {
        let two = ProtobufSchema::parse("syntax = \"proto3\"; message M { message Inner {} } message N {}", &[]);
        let two = two.expect("valid");
        let one = message("message Inner {}");
        assert!(reads(&one, &two));
        assert_eq!(two.incompatibilities_with(&one), ["message N is missing"]);
        assert_eq!(two.incompatibilities_with(&message("")).len(), 2);
    }

    #[test]
    fn independent_fields_cannot_be_moved_into_a_oneof() {
        let apart = message("int32 a = 1; int32 b = 2;");
        let together = message("oneof x { int32 a = 1; int32 b = 2; }");
        assert!(!reads(&apart, &together));
        assert!(reads(&together, &apart));
        assert!(reads(&apart, &message("oneof x { int32 a = 1; } int32 b = 2;")));
        assert!(reads(
            &together,
            &message("oneof x { int32 a = 1; int32 b = 2; int32 c = 3; }")
        ));
    }

    #[test]
    fn required_fields_can_be_added_only_with_their_message() {
        let proto2 = |fields: &str| {
            ProtobufSchema::parse(&format!("syntax = \"proto2\"; message M {{ {fields} }}"), &[]).expect("valid")
        };
        let optional = proto2("optional int32 a = 1;");
        let required = proto2("required int32 a = 1;");
        assert!(reads(&required, &optional));
        assert!(!reads(&optional, &required));
        assert!(!reads(&proto2(""), &required));
    }

    #[test]
    fn imports_are_resolved_by_name_and_well_known_types_are_built_in() {
        let part = Referenced {
            name: "part.proto".into(),
            schema: Schema::new(SchemaType::Protobuf, "syntax = \"proto3\"; package p; message Part {}"),
        };
        let text = "syntax = \"proto3\"; import \"part.proto\"; import \"google/protobuf/timestamp.proto\"; \
                    message M { p.Part part = 1; google.protobuf.Timestamp at = 2; }";
        ProtobufSchema::parse(text, &[part]).expect("valid");
        assert_eq!(
            ProtobufSchema::parse(text, &[]).expect_err("missing").field(),
            Some("schema.text")
        );
    }

    #[test]
    fn comments_make_no_difference_and_invalid_schemas_are_rejected() {
        let one = message("int32 a = 1;");
        let other = message("/* the a */ int32   a = 1; // done\n");
        assert_eq!(one.canonical(), other.canonical());
        for text in [
            "message",
            "syntax = \"proto3\"; message M { Missing m = 1; }",
            "syntax = \"proto3\"; import \"/etc/passwd\";",
        ] {
            assert!(ProtobufSchema::parse(text, &[]).is_err(), "{text}");
        }
        let deep = format!(
            "syntax = \"proto3\"; {}{}",
            "message M {".repeat(5_000),
            "}".repeat(5_000)
        );
        assert!(
            ProtobufSchema::parse(&deep, &[]).is_err(),
            "an error, not a stack overflow"
        );
    }
}
