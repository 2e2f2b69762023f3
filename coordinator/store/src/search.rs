//! Full-text search: FTS5 on SQLite, tsvector on PostgreSQL. The same words match; ranking is each one's own.

use std::fmt::Write as _;

use nexusmon_shared::id::MissionId;
use nexusmon_shared::time::Timestamp;

use crate::connection::Connection;
use crate::dialect::{Sql, insert, sql};
use crate::error::StoreError;
use crate::record::{Fields as _, args, record};
use crate::transaction::Tx;

record! {
    /// A text to be found. Unique by (kind, subject).
    pub struct DocumentRow {
        /// `mission`, `artifact`, `review`.
        pub kind: String,
        /// The id of what the text belongs to.
        pub subject: String,
        pub mission: Option<MissionId>,
        pub title: String,
        pub body: String,
        pub at: Timestamp,
    }
}

/// A word that is the beginning of more words than this is looked for as a beginning.
const MOST_WHOLE: usize = 16;

/// The words of outside text. Everything else than letters and digits separates.
fn words_of(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.take(32).map(str::to_lowercase).collect()
}

/// Words of outside text as a query: each word must occur, the last one may be a beginning. No operator of either
/// database gets through.
pub(crate) fn words_query(text: &str, postgres: bool) -> String {
    let words = words_of(text);
    let mut query = String::new();
    for (place, word) in words.iter().enumerate() {
        let last = place + 1 == words.len();
        let between = if place == 0 {
            ""
        } else if postgres {
            " & "
        } else {
            " AND "
        };
        let _ = match (postgres, last) {
            (true, true) => write!(query, "{between}'{word}':*"),
            (true, false) => write!(query, "{between}'{word}'"),
            (false, true) => write!(query, "{between}\"{word}\"*"),
            (false, false) => write!(query, "{between}\"{word}\""),
        };
    }
    if query.is_empty() && !postgres {
        // FTS5 refuses an empty query; this one matches nothing.
        query.push_str("\"\"");
    }
    query
}

/// As [`words_query`], where any of the words is enough: what fits better has more of them.
pub(crate) fn any_word_query(text: &str, postgres: bool) -> String {
    let (quote, between) = if postgres { ('\'', " | ") } else { ('"', " OR ") };
    let words = words_of(text).into_iter().map(|word| format!("{quote}{word}{quote}"));
    let query = words.collect::<Vec<_>>().join(between);
    if query.is_empty() && !postgres { "\"\"".to_owned() } else { query }
}

impl Connection {
    /// As [`words_query`], for SQLite and for whoever wants the newest only: with the whole words that the last one is the
    /// beginning of, where they are few. Of a whole word FTS5 reads as far as it is asked to; of a beginning it gathers
    /// all there is before it answers.
    pub(crate) async fn words_query_by_age(&mut self, text: &str) -> Result<String, StoreError> {
        let beginning = words_query(text, false);
        let mut words = words_of(text);
        let Some(last) = words.pop() else { return Ok(beginning) };
        let Some(whole) = self.whole_words(&last).await?.filter(|whole| !whole.is_empty()) else {
            return Ok(beginning);
        };
        let quoted = |words: &[String], between: &str| {
            words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(between)
        };
        let last = format!("({})", quoted(&whole, " OR "));
        Ok(if words.is_empty() { last } else { format!("{} AND {last}", quoted(&words, " AND ")) })
    }

    /// Every indexed word that begins so; `None` if they are many, or where letters are not what they look like.
    async fn whole_words(&mut self, beginning: &str) -> Result<Option<Vec<String>>, StoreError> {
        if !beginning.is_ascii() {
            return Ok(None);
        }
        // Belongs to this connection alone; nothing is written.
        self.script(
            "CREATE VIRTUAL TABLE IF NOT EXISTS temp.indexed_words USING fts5vocab(main, documents_text, instance)",
        )
        .await?;
        let mut found = Vec::new();
        let mut from = beginning.to_owned();
        loop {
            let next: Option<String> = self
                .value(sql!("SELECT term AS value FROM indexed_words WHERE term >= $1 LIMIT 1"), args![from])
                .await?;
            let Some(word) = next.filter(|word| word.starts_with(beginning)) else { return Ok(Some(found)) };
            if found.len() == MOST_WHOLE || !word.chars().all(char::is_alphanumeric) {
                return Ok(None);
            }
            // The next word, past all places of this one: none holds a control character.
            from = format!("{word}\u{1}");
            found.push(word);
        }
    }

    pub async fn document_count(&mut self) -> Result<i64, StoreError> {
        let count = self.value(sql!("SELECT COUNT(*) AS value FROM documents"), args![]).await?;
        Ok(count.unwrap_or(0))
    }

    /// Documents with all words of `text`, best first.
    pub async fn search(
        &mut self,
        text: &str,
        kind: Option<&str>,
        mission: Option<MissionId>,
        limit: u32,
    ) -> Result<Vec<DocumentRow>, StoreError> {
        let query = words_query(text, self.is_postgres());
        let columns = DocumentRow::COLUMNS
            .iter()
            .map(|(name, _)| format!("documents.{name}"))
            .collect::<Vec<_>>()
            .join(", ");
        let narrowed = "(CAST($2 AS TEXT) IS NULL OR documents.kind = $2) \
                        AND (CAST($3 AS TEXT) IS NULL OR documents.mission = $3)";
        let text = if self.is_postgres() {
            format!(
                "SELECT {columns} FROM documents, to_tsquery('simple', $1) AS query WHERE words @@ query \
                 AND {narrowed} ORDER BY ts_rank(words, query) DESC, number DESC LIMIT $4"
            )
        } else {
            format!(
                "SELECT {columns} FROM documents_text JOIN documents ON documents.number = documents_text.rowid \
                 WHERE documents_text MATCH $1 AND {narrowed} \
                 ORDER BY bm25(documents_text, 4.0, 1.0), number DESC LIMIT $4"
            )
        };
        self.fetch(&Sql::new(&text, &[]), args![query, kind.map(str::to_owned), mission, limit]).await
    }
}

impl Tx {
    /// Makes texts findable; a text of the same kind and subject is replaced.
    pub async fn index_documents(&mut self, rows: &[DocumentRow]) -> Result<(), StoreError> {
        let insert = insert!(
            "documents",
            DocumentRow,
            "ON CONFLICT (kind, subject) DO UPDATE SET title = excluded.title, body = excluded.body, \
             mission = excluded.mission, at = excluded.at"
        );
        self.execute_batch(insert, rows, args![]).await.map(drop)
    }

    pub async fn delete_document(&mut self, kind: &str, subject: &str) -> Result<(), StoreError> {
        self.execute(sql!("DELETE FROM documents WHERE kind = $1 AND subject = $2"), args![kind, subject])
            .await
            .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::{any_word_query, words_query};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_operator_gets_through(text in ".{0,200}") {
            for postgres in [true, false] {
                for query in [words_query(&text, postgres), any_word_query(&text, postgres)] {
                    let quote = if postgres { '\'' } else { '"' };
                    prop_assert_eq!(query.matches(quote).count() % 2, 0);
                    let outside: String = query.split(quote).step_by(2).collect();
                    prop_assert!(outside.chars().all(|c| " &|:*ANDOR".contains(c)), "{}", query);
                }
            }
        }
    }
}
