//! Converts the payload to CEL values: only the fields that conditions read. Clones share the values.

use std::collections::HashMap;
use std::sync::Arc;

use cel::common::traits::{Adder, Container, Indexer, Iterable, Sizer, Zeroer};
use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt, LIST_TYPE, MAP_TYPE, Type,
};
use cel::common::value::{Builtin, BuiltinRef, Val};

use super::PayloadFields;

/// Reading one item of a list costs as much as reading this number of bytes of a string.
const BYTES_PER_ITEM: usize = 16;

/// A converted value, and the size in bytes of the largest string or list in it, which is the maximum that one operation reads.
pub(super) struct Converted<'m> {
    pub(super) value: Box<dyn Val + 'm>,
    pub(super) largest: usize,
}

/// Converts the fields `read`.
pub(super) fn convert<'m>(json: &'m serde_json::Value, read: &PayloadFields) -> Converted<'m> {
    let mut largest = 0;
    let value = project(json, read, &mut largest);
    Converted { value, largest }
}

fn project<'m>(json: &'m serde_json::Value, read: &PayloadFields, largest: &mut usize) -> Box<dyn Val + 'm> {
    if read.is_whole() {
        return whole(json, largest);
    }
    match json {
        serde_json::Value::Object(object) => {
            let entries = read.fields().filter_map(|(name, inner)| {
                let (name, value) = object.get_key_value(name)?;
                Some((key(name), project(value, inner, largest)))
            });
            map(entries.collect())
        }
        // Its items are not read. An empty list makes a field access fail, as it should.
        serde_json::Value::Array(_) => list(Vec::new()),
        scalar => whole(scalar, largest),
    }
}

fn whole<'m>(json: &'m serde_json::Value, largest: &mut usize) -> Box<dyn Val + 'm> {
    match json {
        serde_json::Value::Null => Box::new(CelNull),
        serde_json::Value::Bool(value) => Box::new(CelBool::from(*value)),
        serde_json::Value::Number(number) => {
            // Integers that fit are `int`, because integer literals in conditions are `int`, and CEL does not mix `int` and
            // `uint` in arithmetic.
            if let Some(value) = number.as_i64() {
                Box::new(CelInt::from(value))
            } else if let Some(value) = number.as_u64() {
                Box::new(CelUInt::from(value))
            } else {
                Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN)))
            }
        }
        serde_json::Value::String(text) => {
            *largest = (*largest).max(text.len());
            Box::new(CelString::from(text.as_str()))
        }
        serde_json::Value::Array(items) => {
            *largest = (*largest).max(items.len().saturating_mul(BYTES_PER_ITEM));
            list(items.iter().map(|item| whole(item, largest)).collect())
        }
        serde_json::Value::Object(object) => map(object
            .iter()
            .map(|(name, value)| (key(name), whole(value, largest)))
            .collect()),
    }
}

fn key(name: &str) -> CelMapKey<'_> {
    CelMapKey::String(CelString::from(name))
}

fn list<'m>(items: Vec<Box<dyn Val + 'm>>) -> Box<dyn Val + 'm> {
    Box::new(SharedList(Arc::new(CelList::from(items))))
}

pub(super) fn map<'m>(entries: HashMap<CelMapKey<'m>, Box<dyn Val + 'm>>) -> Box<dyn Val + 'm> {
    Box::new(SharedMap(Arc::new(CelMap::from(entries))))
}

/// A list whose clones share its items: loops clone every item that they visit.
#[derive(Debug, Clone)]
struct SharedList<'m>(Arc<CelList<'m>>);

/// A map whose clones share its entries.
#[derive(Debug, Clone)]
struct SharedMap<'m>(Arc<CelMap<'m>>);

macro_rules! shared_value {
    ($name:ident, $inner:ident, $kind:ident, $cel_type:expr, { $($adder:tt)* }) => {
        impl<'m> Val for $name<'m> {
            fn get_type(&self) -> &Type {
                <Self as Val>::cel_type()
            }

            fn cel_type() -> &'static Type {
                static TYPE: Type = $cel_type;
                &TYPE
            }

            $($adder)*

            fn as_container(&self) -> Option<&dyn Container> {
                self.0.as_container()
            }

            fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
            where
                Self: 'v,
            {
                self.0.as_indexer()
            }

            fn into_indexer<'v>(self: Box<Self>) -> Option<Box<dyn Indexer + 'v>>
            where
                Self: 'v,
            {
                Some(Box::new($inner::clone(&self.0)))
            }

            fn as_iterable<'b, 'v>(&'b self) -> Option<&'b (dyn Iterable + 'v)>
            where
                Self: 'v,
            {
                self.0.as_iterable()
            }

            fn as_sizer(&self) -> Option<&dyn Sizer> {
                self.0.as_sizer()
            }

            fn as_zeroer(&self) -> Option<&dyn Zeroer> {
                self.0.as_zeroer()
            }

            fn equals(&self, other: &dyn Val) -> bool {
                self.0.equals(other)
            }

            fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
            where
                Self: 'v,
            {
                Box::new(self.clone())
            }

            // The library compares its values only with values that it recognizes as its types.
            fn as_builtin<'b, 'v>(&'b self) -> BuiltinRef<'b, 'v>
            where
                Self: 'v,
            {
                BuiltinRef::$kind(&self.0)
            }

            fn into_builtin<'v>(self: Box<Self>) -> Option<Builtin<'v>>
            where
                Self: 'v,
            {
                Some(Builtin::$kind($inner::clone(&self.0)))
            }
        }
    };
}

shared_value!(SharedList, CelList, List, LIST_TYPE, {
    fn as_adder<'b, 'v>(&'b self) -> Option<&'b (dyn Adder + 'v)>
    where
        Self: 'v,
    {
        self.0.as_adder()
    }
});
shared_value!(SharedMap, CelMap, Map, MAP_TYPE, {});
