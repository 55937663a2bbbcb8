//! Files that are sent page by page, so that memory holds one page, whatever their length.

use std::future::Future;

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::Bytes;
use futures_util::stream;

use super::error::ApiError;

/// A file with this name: its head, and then whatever `page` gives for the rows behind a row, with the last of them, until there are
/// none.
pub(super) fn download<F>(
    name: &str,
    content_type: &'static str,
    head: String,
    page: impl Fn(i64) -> F + 'static,
) -> HttpResponse
where
    F: Future<Output = Result<Option<(String, i64)>, ApiError>> + 'static,
{
    let start = (Some(head).filter(|head| !head.is_empty()), 0, page);
    let pieces = stream::try_unfold(start, |(head, after, page)| async move {
        let piece = match head {
            Some(head) => Some((head, after)),
            None => page(after).await?,
        };
        Ok::<_, ApiError>(piece.map(|(piece, last)| (Bytes::from(piece), (None, last, page))))
    });
    HttpResponse::Ok()
        .content_type(content_type)
        .insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")))
        .streaming(Box::pin(pieces))
}
