//! Cases of this domain.
