//! Lists: filters put together from what the caller asks, and keyset cursors, so that page 1,000 costs what page 1 does.

use std::fmt::Write as _;

use crate::connection::Connection;
use crate::dialect::Sql;
use crate::error::StoreError;
use crate::record::{Arg, Bind, Column, Fields, Record};

/// Most rows of one page.
pub const MAX_PAGE: u32 = 200;

/// Which part of a list.
#[derive(Debug, Clone, Default)]
pub struct PageRequest {
    /// At most [`MAX_PAGE`]; 0 means 50.
    pub limit: u32,
    /// As the page before gave it.
    pub cursor: Option<String>,
}

impl PageRequest {
    pub const fn first(limit: u32) -> Self {
        Self { limit, cursor: None }
    }

    fn limit(&self) -> u32 {
        match self.limit {
            0 => 50,
            limit => limit.min(MAX_PAGE),
        }
    }
}

/// Part of a list, and where the next begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    pub fn map<U>(self, to: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(to).collect(), next_cursor: self.next_cursor }
    }
}

/// A SELECT in the making. Column names come from this crate only; every value is bound.
pub(crate) struct Filter {
    columns: String,
    source: &'static str,
    conditions: Vec<String>,
    /// Any of these must hold beside the conditions.
    branches: Vec<String>,
    args: Vec<Arg>,
    order: String,
}

impl Filter {
    pub(crate) fn over<T: Fields>(source: &'static str) -> Self {
        let columns = T::COLUMNS.iter().map(|(column, _)| *column).collect::<Vec<_>>().join(", ");
        Self {
            columns,
            source,
            conditions: Vec::new(),
            branches: Vec::new(),
            args: Vec::new(),
            order: String::new(),
        }
    }

    pub(crate) fn require(&mut self, condition: &str) {
        self.conditions.push(condition.to_owned());
    }

    /// A condition with one `?`.
    pub(crate) fn with(&mut self, condition: &str, value: &(impl Bind + ?Sized)) {
        self.args.push(value.bind());
        self.conditions.push(condition.replacen('?', &format!("${}", self.args.len()), 1));
    }

    /// A condition with two `?`.
    pub(crate) fn with_two(
        &mut self,
        condition: &str,
        first: &(impl Bind + ?Sized),
        second: &(impl Bind + ?Sized),
    ) {
        self.args.push(first.bind());
        let condition = condition.replacen('?', &format!("${}", self.args.len()), 1);
        self.with(&condition, second);
    }

    pub(crate) fn equals<T: Column>(&mut self, column: &str, value: Option<&T>) {
        if let Some(value) = value {
            self.with(&format!("{column} = ?"), value);
        }
    }

    pub(crate) fn at_least<T: Column>(&mut self, column: &str, value: Option<&T>) {
        if let Some(value) = value {
            self.with(&format!("{column} >= ?"), value);
        }
    }

    /// Any of the values; none given means no condition.
    pub(crate) fn among<T: Column>(&mut self, column: &str, values: &[T]) {
        if values.is_empty() {
            return;
        }
        let mut condition = format!("{column} IN (");
        for (place, value) in values.iter().enumerate() {
            self.args.push(value.arg());
            let comma = if place == 0 { "" } else { ", " };
            let _ = write!(condition, "{comma}${}", self.args.len());
        }
        condition.push(')');
        self.conditions.push(condition);
    }

    /// Rows found through another table: `source` joins it, with the list's own table inside.
    pub(crate) fn through(&mut self, source: &'static str) {
        self.source = source;
    }

    /// Any of the values, each looked for by itself in the order of the list: an index on the column and the key serves
    /// them all, where `IN` would have every match sorted. For lists over one table with the key `id`.
    pub(crate) fn each_of<T: Column>(&mut self, column: &str, values: &[T]) {
        if values.len() < 2 {
            return self.equals(column, values.first());
        }
        for value in values {
            self.args.push(value.arg());
            self.branches.push(format!("{column} = ${}", self.args.len()));
        }
    }

    /// Newest first by a text key such as an id, which sorts by time.
    pub(crate) fn newest_first(&mut self, column: &str, page: &PageRequest) {
        if let Some(cursor) = &page.cursor {
            self.with(&format!("{column} < ?"), cursor);
        }
        self.order = format!("{column} DESC");
    }

    /// First in order of a text key.
    pub(crate) fn in_order(&mut self, column: &str, page: &PageRequest) {
        if let Some(cursor) = &page.cursor {
            self.with(&format!("{column} > ?"), cursor);
        }
        column.clone_into(&mut self.order);
    }

    /// Newest first by a number.
    pub(crate) fn newest_first_by_number(
        &mut self,
        column: &str,
        page: &PageRequest,
    ) -> Result<(), StoreError> {
        if let Some(cursor) = &page.cursor {
            self.with(&format!("{column} < ?"), &number(cursor)?);
        }
        self.order = format!("{column} DESC");
        Ok(())
    }

    pub(crate) fn order_by(&mut self, order: &str) {
        order.clone_into(&mut self.order);
    }

    pub(crate) async fn page<T: Record>(
        self,
        connection: &mut Connection,
        page: &PageRequest,
        cursor: impl Fn(&T) -> String,
    ) -> Result<Page<T>, StoreError> {
        let limit = page.limit();
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut items: Vec<T> = self.fetch(connection, limit + 1).await?;
        let more = items.len() > wanted;
        items.truncate(wanted);
        let next_cursor = items.last().filter(|_| more).map(cursor);
        Ok(Page { items, next_cursor })
    }

    pub(crate) async fn fetch<T: Record>(
        self,
        connection: &mut Connection,
        limit: u32,
    ) -> Result<Vec<T>, StoreError> {
        let text = if self.branches.is_empty() {
            self.select(&self.columns, None, limit)
        } else {
            let mut found = String::new();
            for (place, branch) in self.branches.iter().enumerate() {
                let union = if place == 0 { "" } else { " UNION ALL " };
                let part = self.select("id", Some(branch), limit);
                let _ = write!(found, "{union}SELECT id FROM ({part}) AS branch_{place}");
            }
            let Self { columns, source, order, .. } = &self;
            format!("SELECT {columns} FROM {source} WHERE id IN ({found}) ORDER BY {order} LIMIT {limit}")
        };
        connection.fetch(&Sql::new(&text, &[]), self.args).await
    }

    fn select(&self, columns: &str, branch: Option<&String>, limit: u32) -> String {
        let mut text = format!("SELECT {columns} FROM {}", self.source);
        for (place, condition) in self.conditions.iter().chain(branch).enumerate() {
            text.push_str(if place == 0 { " WHERE " } else { " AND " });
            text.push_str(condition);
        }
        if !self.order.is_empty() {
            let _ = write!(text, " ORDER BY {}", self.order);
        }
        let _ = write!(text, " LIMIT {limit}");
        text
    }
}

/// Cursors are opaque to callers but come from outside: anything else than a number is refused, not believed.
fn number(cursor: &str) -> Result<i64, StoreError> {
    cursor.parse().map_err(|_| StoreError::Corrupt {
        column: "cursor".to_owned(),
        reason: "not a cursor of this list".to_owned(),
    })
}
