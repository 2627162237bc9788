//! A multipart form with one file in it.
//! Source: <https://www.rfc-editor.org/rfc/rfc7578>.

use bytes::Bytes;

pub(crate) struct File {
    pub field: String,
    pub name: String,
    pub content: Bytes,
}

/// # Errors
/// What is not as it should be.
pub(crate) fn only_file(content_type: &str, body: &Bytes) -> Result<File, String> {
    let boundary = content_type
        .strip_prefix("multipart/form-data; boundary=")
        .ok_or_else(|| format!("its content type is {content_type:?}"))?;
    let opening = format!("--{boundary}\r\n");
    let closing = format!("\r\n--{boundary}--\r\n");
    if !body.starts_with(opening.as_bytes()) || !body.ends_with(closing.as_bytes()) {
        return Err("the form is not whole".to_owned());
    }
    let part = body.slice(opening.len()..body.len() - closing.len());
    let end = part.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.ok_or("the part's header does not end")?;
    let header = std::str::from_utf8(&part[..end]).map_err(|error| error.to_string())?;
    let content = part.slice(end + 4..);
    let delimiter = format!("\r\n--{boundary}");
    let is_delimiter = |window: &[u8]| window == delimiter.as_bytes();
    if content.windows(delimiter.len()).any(is_delimiter) {
        return Err("the form has more than one part".to_owned());
    }
    let parameter = |name: &str| {
        let (_, rest) = header.split_once(&format!("; {name}=\""))?;
        Some(rest.split_once('"')?.0.to_owned())
    };
    Ok(File {
        field: parameter("name").ok_or("the part has no name")?,
        name: parameter("filename").ok_or("the part is no file")?,
        content,
    })
}
