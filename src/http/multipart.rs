//! Forms with a file in them (`multipart/form-data`, RFC 7578), read from a body that is bounded already.
//!
//! A form of one file and a few names needs no streaming and no temporary files. Start with [`Form::read`].

use actix_web::HttpRequest;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::web::{Bytes, Payload};

use super::body::Budget;
use super::error::ApiError;
use super::read_admin;

/// Fields of one form at most.
const MAX_FIELDS: usize = 1_000;
/// The longest head of a field, in bytes.
const MAX_HEAD: usize = 4 * 1024;
/// The longest boundary (RFC 2046, 5.1.1).
const MAX_BOUNDARY: usize = 70;

/// The fields of a form, in their order.
#[derive(Debug)]
pub(super) struct Form {
    fields: Vec<Field>,
}

/// One field of a form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Field {
    /// Its name.
    pub(super) name: String,
    /// The name of its file, without folders.
    pub(super) file_name: Option<String>,
    /// What it holds.
    pub(super) content: Bytes,
}

impl Form {
    /// Reads the form of a request, of at most `limit` bytes with everything around its fields.
    ///
    /// # Errors
    /// 400: it is not a form; 413: it is too long.
    pub(super) async fn read(
        request: &HttpRequest,
        budget: &Budget,
        payload: Payload,
        limit: usize,
    ) -> Result<Self, ApiError> {
        let content_type =
            request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let boundary =
            boundary(content_type).ok_or_else(|| ApiError::bad_request("send a multipart/form-data form"))?;
        let body = read_admin(budget, payload, limit).await?;
        let fields = parse(&body, &boundary).ok_or_else(|| ApiError::bad_request("the form cannot be read"))?;
        Ok(Self { fields })
    }

    /// The fields.
    pub(super) fn into_fields(self) -> Vec<Field> {
        self.fields
    }
}

impl Field {
    /// What it holds, as text.
    ///
    /// # Errors
    /// 422: it is not UTF-8.
    pub(super) fn text(&self) -> Result<&str, ApiError> {
        str::from_utf8(&self.content).map_err(|_| ApiError::invalid(&self.name, "is not UTF-8"))
    }
}

/// What separates the fields of this content.
fn boundary(content_type: &str) -> Option<String> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    parameter(parameters, "boundary").filter(|boundary| (1..=MAX_BOUNDARY).contains(&boundary.len()))
}

/// A parameter of a header, quoted or not.
fn parameter(parameters: &str, name: &str) -> Option<String> {
    let mut rest = parameters;
    loop {
        let (key, after) = rest.trim_start_matches([';', ' ', '\t']).split_once('=')?;
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let end = after.find(';').unwrap_or(after.len());
                (after[..end].trim_end().to_owned(), &after[end..])
            }
        };
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = next;
    }
}

/// A quoted text behind its first quote, and what follows it.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &text[at + 1..])),
            // Browsers leave a backslash of a path as it is; before anything else it is one as well.
            '\\' if text[at + 1..].starts_with(['"', '\\']) => value.push(letters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

fn parse(body: &Bytes, boundary: &str) -> Option<Vec<Field>> {
    let first = format!("--{boundary}");
    let between = format!("\r\n{first}");
    let mut at =
        if body.starts_with(first.as_bytes()) { first.len() } else { find(body, &between, 0)? + between.len() };
    let mut fields = Vec::new();
    loop {
        let rest = &body[at..];
        if rest.starts_with(b"--") {
            return Some(fields);
        }
        // White space may stand behind a boundary (RFC 2046, 5.1.1).
        let line = find(body, "\r\n", at).filter(|end| body[at..*end].iter().all(|byte| b" \t".contains(byte)))?;
        let head_end = find(body, "\r\n\r\n", line).filter(|end| end - line <= MAX_HEAD)?;
        let start = head_end + 4;
        let end = find(body, &between, start)?;
        let head = str::from_utf8(body.get(line + 2..head_end).unwrap_or_default()).ok()?;
        fields.push(field(head, body.slice(start..end))?);
        if fields.len() > MAX_FIELDS {
            return None;
        }
        at = end + between.len();
    }
}

fn find(body: &[u8], what: &str, from: usize) -> Option<usize> {
    let (what, rest) = (what.as_bytes(), body.get(from..)?);
    rest.windows(what.len()).position(|window| window == what).map(|at| from + at)
}

fn field(head: &str, content: Bytes) -> Option<Field> {
    let disposition = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    })?;
    let (_, parameters) = disposition.split_once(';')?;
    let file_name = parameter(parameters, "filename").map(|name| {
        let base = name.rsplit(['/', '\\']).next().unwrap_or_default();
        base.to_owned()
    });
    Some(Field { name: parameter(parameters, "name")?, file_name, content })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Option<Vec<Field>> {
        parse(&Bytes::from(body.replace('\n', "\r\n")), "XyZ")
    }

    fn made(name: &str, file_name: Option<&str>, content: &str) -> Field {
        Field { name: name.into(), file_name: file_name.map(str::to_owned), content: Bytes::from(content.to_owned()) }
    }

    #[test]
    fn fields_and_files_are_read_as_they_are() {
        let body = "--XyZ\nContent-Disposition: form-data; name=\"team_id\"\n\n7\n--XyZ \ncontent-disposition: form-data; \
                    filename=\"C:\\dir\\a \\\"b\\\".xml\"; name=profile\nContent-Type: text/xml\n\n<a>\n\n--Xy\n</a>\n\n--XyZ--\n";
        let fields = read(body).unwrap();
        assert_eq!(
            fields,
            [made("team_id", None, "7"), made("profile", Some("a \"b\".xml"), "<a>\r\n\r\n--Xy\r\n</a>\r\n")]
        );
        assert_eq!(
            read("before\n--XyZ\nContent-Disposition: form-data; name=a\n\n\n--XyZ--"),
            Some(vec![made("a", None, "")])
        );
        assert_eq!(read("--XyZ--"), Some(vec![]));
    }

    #[test]
    fn what_is_cut_or_has_no_name_is_refused() {
        for body in [
            "",
            "--XyZ",
            "--XyZ\n",
            "--XyZ\nContent-Disposition: form-data; name=a\n\nx",
            "--XyZ\nContent-Disposition: form-data; name=a\n--XyZ--",
            "--XyZ\nContent-Disposition: form-data\n\nx\n--XyZ--",
            "--XyZ\nContent-Disposition: form-data; filename=a\n\nx\n--XyZ--",
            "--XyZ\nContent-Type: text/plain\n\nx\n--XyZ--",
            "--XyZx\nContent-Disposition: form-data; name=a\n\nx\n--XyZ--",
            "--XyZ\nContent-Disposition: form-data; name=\"a\n\nx\n--XyZ--",
        ] {
            assert_eq!(read(body), None, "{body:?}");
        }
        let long = format!("--XyZ\nX: {}\nContent-Disposition: form-data; name=a\n\nx\n--XyZ--", "x".repeat(MAX_HEAD));
        assert_eq!(read(&long), None);
        let many = "--XyZ\nContent-Disposition: form-data; name=a\n\n\n".repeat(MAX_FIELDS + 1);
        assert_eq!(read(&format!("{many}--XyZ--")), None);
    }

    #[test]
    fn a_boundary_comes_with_or_without_quotes() {
        let of = |text: &str| boundary(text);
        assert_eq!(of("multipart/form-data; boundary=abc").as_deref(), Some("abc"));
        assert_eq!(of("Multipart/Form-Data; charset=utf-8; Boundary=\"a b;c\"").as_deref(), Some("a b;c"));
        for text in [
            "",
            "application/json",
            "multipart/form-data",
            "multipart/mixed; boundary=a",
            "multipart/form-data; boundary=",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
        assert_eq!(of(&format!("multipart/form-data; boundary={}", "x".repeat(71))), None);
    }
}
