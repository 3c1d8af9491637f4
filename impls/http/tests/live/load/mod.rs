//! nginx and nghttpd with many requests at the same time, and uploads that nginx refuses early. What the servers have processed is
//! counted in their logs.

mod early;
mod processed;
mod requests;
mod row;

pub(crate) use self::early::*;
pub(crate) use self::requests::*;
