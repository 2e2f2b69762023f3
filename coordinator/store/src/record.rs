//! Rows as plain structs: one macro gives a struct its columns, how it is read from a row of either database, and how
//! it is written into the JSON batch that set-based statements take.
//!
//! Knows column types, not tables.

mod columns;

use std::borrow::Cow;

/// The four types both databases share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Text,
    Int,
    Bool,
    Real,
}

/// A value as the database gives it.
#[derive(Debug)]
pub(crate) enum Cell<'a> {
    Null,
    Text(Cow<'a, str>),
    Int(i64),
    Bool(bool),
    Real(f64),
}

/// Why a cell is not the value a struct wants.
#[derive(Debug)]
pub(crate) struct BadCell(pub(crate) String);

/// A Rust type that fits into one column.
pub(crate) trait Column: Sized {
    const KIND: Kind;
    fn read(cell: Cell<'_>) -> Result<Self, BadCell>;
    /// As JSON.
    fn write(&self, out: &mut String);
    /// As a bound parameter.
    fn arg(&self) -> Arg;

    /// As [`Self::arg`], where it need not be owned.
    fn put(&self, sink: &mut dyn Sink) {
        sink.arg(&self.arg());
    }
}

/// Takes the values of a row, in order.
pub(crate) trait Sink {
    fn text(&mut self, value: &str);
    /// Text that is made from the value.
    fn shown(&mut self, value: &dyn std::fmt::Display);
    fn arg(&mut self, value: &Arg);
}

/// A bound parameter; a null keeps its type, which PostgreSQL wants to know.
#[derive(Debug, Clone)]
pub(crate) enum Arg {
    Text(Option<String>),
    Int(Option<i64>),
    Bool(Option<bool>),
    Real(Option<f64>),
}

impl Arg {
    const fn null(kind: Kind) -> Self {
        match kind {
            Kind::Text => Self::Text(None),
            Kind::Int => Self::Int(None),
            Kind::Bool => Self::Bool(None),
            Kind::Real => Self::Real(None),
        }
    }
}

/// What may stand in `args![…]`.
pub(crate) trait Bind {
    fn bind(&self) -> Arg;
}

impl<T: Column> Bind for T {
    fn bind(&self) -> Arg {
        self.arg()
    }
}

impl Bind for str {
    fn bind(&self) -> Arg {
        Arg::Text(Some(self.to_owned()))
    }
}

impl Bind for &str {
    fn bind(&self) -> Arg {
        Arg::Text(Some((*self).to_owned()))
    }
}

/// The parameters of a statement, `$1` first.
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::record::Bind::bind(&$value)),*] };
}
pub(crate) use args;

/// A struct that can be written into a batch.
pub(crate) trait Fields: Send + Sync {
    const COLUMNS: &'static [(&'static str, Kind)];
    /// As bound parameters, in order.
    fn put(&self, sink: &mut dyn Sink);
    /// As JSON: an object for PostgreSQL's `json_to_recordset`, an array (half the bytes) for SQLite's `jsonb_each`.
    fn write(&self, named: bool, out: &mut String);
}

/// A struct that can be read from a row, too.
pub(crate) trait Record: Fields + Sized {
    fn read(row: &dyn Row) -> Result<Self, crate::StoreError>;
}

impl<T: Fields> Fields for &T {
    const COLUMNS: &'static [(&'static str, Kind)] = T::COLUMNS;

    fn put(&self, sink: &mut dyn Sink) {
        T::put(self, sink);
    }

    fn write(&self, named: bool, out: &mut String) {
        T::write(self, named, out);
    }
}

/// A row of either database.
pub(crate) trait Row {
    /// The record's `field`th column.
    fn cell(&self, field: usize, column: &str, kind: Kind) -> Result<Cell<'_>, crate::StoreError>;
}

/// Where each of a record's columns stands among those of an answer.
pub(crate) fn places(
    wanted: &[(&'static str, Kind)],
    found: &[&str],
) -> Result<Vec<usize>, crate::StoreError> {
    wanted
        .iter()
        .enumerate()
        .map(|(place, (column, _))| {
            // Most answers have them in order.
            if found.get(place) == Some(column) {
                return Ok(place);
            }
            found.iter().position(|name| name == column).ok_or_else(|| crate::StoreError::Corrupt {
                column: (*column).to_owned(),
                reason: "the answer has no such column".to_owned(),
            })
        })
        .collect()
}

pub(crate) fn field<T: Column>(
    row: &dyn Row,
    field: usize,
    column: &'static str,
) -> Result<T, crate::StoreError> {
    T::read(row.cell(field, column, T::KIND)?)
        .map_err(|BadCell(reason)| crate::StoreError::Corrupt { column: column.to_owned(), reason })
}

/// Writes a JSON string.
pub(crate) fn write_text(text: &str, out: &mut String) {
    nexusmon_shared::trust::canonical::write_text(text, out);
}

/// Declares row structs.
macro_rules! record {
    ($($(#[$meta:meta])* $vis:vis struct $name:ident { $($(#[$field_meta:meta])* pub $field:ident: $type:ty,)* })*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        $vis struct $name { $($(#[$field_meta])* pub $field: $type,)* }

        impl $crate::record::Record for $name {
            fn read(row: &dyn $crate::record::Row) -> Result<Self, $crate::StoreError> {
                let mut place = 0..;
                Ok(Self { $($field: $crate::record::field(
                    row, place.next().unwrap_or_default(), stringify!($field))?,)* })
            }
        }

        impl $crate::record::Fields for $name {
            const COLUMNS: &'static [(&'static str, $crate::record::Kind)] =
                &[$((stringify!($field), <$type as $crate::record::Column>::KIND),)*];

            fn put(&self, sink: &mut dyn $crate::record::Sink) {
                $($crate::record::Column::put(&self.$field, sink);)*
            }

            #[allow(unused_assignments, reason = "the last separator is not read")]
            fn write(&self, named: bool, out: &mut String) {
                let mut open = if named { '{' } else { '[' };
                $(
                    out.push(open);
                    open = ',';
                    if named {
                        out.push_str(concat!("\"", stringify!($field), "\":"));
                    }
                    $crate::record::Column::write(&self.$field, out);
                )*
                out.push(if named { '}' } else { ']' });
            }
        }
    )*};
}
pub(crate) use record;

/// Declares an enum that is stored as a word.
macro_rules! words {
    ($($(#[$meta:meta])* pub enum $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)* })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
        pub enum $name { $($(#[$variant_meta])* #[serde(rename = $word)] $variant,)* }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            pub fn parse(text: &str) -> Option<Self> {
                match text { $($word => Some(Self::$variant),)* _ => None }
            }
        }

        impl $crate::record::Column for $name {
            const KIND: $crate::record::Kind = $crate::record::Kind::Text;

            fn read(cell: $crate::record::Cell<'_>) -> Result<Self, $crate::record::BadCell> {
                let text = $crate::record::text(cell)?;
                Self::parse(&text).ok_or_else(|| $crate::record::BadCell(format!("unknown word `{text}`")))
            }

            fn write(&self, out: &mut String) {
                $crate::record::write_text(self.as_str(), out);
            }

            fn arg(&self) -> $crate::record::Arg {
                $crate::record::Arg::Text(Some(self.as_str().to_owned()))
            }

            fn put(&self, sink: &mut dyn $crate::record::Sink) {
                sink.text(self.as_str());
            }
        }
    )*};
}
pub(crate) use words;

pub(crate) fn text(cell: Cell<'_>) -> Result<Cow<'_, str>, BadCell> {
    match cell {
        Cell::Text(text) => Ok(text),
        other => Err(BadCell(format!("expected text, found {other:?}"))),
    }
}

fn integer(cell: &Cell<'_>) -> Result<i64, BadCell> {
    match cell {
        Cell::Int(number) => Ok(*number),
        other => Err(BadCell(format!("expected an integer, found {other:?}"))),
    }
}

/// A value kept as JSON text in one column.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Json<T>(pub T);

impl<T> std::ops::Deref for Json<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: serde::Serialize + serde::de::DeserializeOwned> Column for Json<T> {
    const KIND: Kind = Kind::Text;

    fn read(cell: Cell<'_>) -> Result<Self, BadCell> {
        serde_json::from_str(&text(cell)?).map(Self).map_err(|e| BadCell(e.to_string()))
    }

    fn write(&self, out: &mut String) {
        let text = serde_json::to_string(&self.0).expect("row values have string keys, so they are JSON");
        write_text(&text, out);
    }

    fn arg(&self) -> Arg {
        Arg::Text(serde_json::to_string(&self.0).ok())
    }
}

/// One column named `value`.
pub(crate) struct Value<T>(pub(crate) T);

impl<T: Column + Send + Sync> Record for Value<T> {
    fn read(row: &dyn Row) -> Result<Self, crate::StoreError> {
        field(row, 0, "value").map(Self)
    }
}

impl<T: Column + Send + Sync> Fields for Value<T> {
    const COLUMNS: &'static [(&'static str, Kind)] = &[("value", T::KIND)];

    fn put(&self, sink: &mut dyn Sink) {
        self.0.put(sink);
    }

    fn write(&self, named: bool, out: &mut String) {
        out.push_str(if named { "{\"value\":" } else { "[" });
        self.0.write(out);
        out.push(if named { '}' } else { ']' });
    }
}
