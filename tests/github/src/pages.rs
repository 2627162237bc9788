//! Lists in pages, and the header that leads from one to the next.
//!
//! Source: <https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api>.

use std::collections::BTreeMap;

const DEFAULT_SIZE: usize = 30;
const LARGEST_SIZE: usize = 100;

/// The part of a list that was asked for.
pub(crate) struct Page {
    number: usize,
    size: usize,
}

impl Page {
    /// Nonsense counts as not given, and a size beyond the largest as that.
    pub fn of(query: &BTreeMap<String, String>) -> Self {
        let number = |key: &str| query.get(key).and_then(|text| text.parse::<usize>().ok());
        Self {
            number: number("page").unwrap_or(1).max(1),
            size: number("per_page")
                .filter(|size| *size > 0)
                .unwrap_or(DEFAULT_SIZE)
                .min(LARGEST_SIZE),
        }
    }

    pub fn cut<'a, T>(&self, all: &'a [T]) -> &'a [T] {
        let begin = ((self.number - 1).saturating_mul(self.size)).min(all.len());
        let end = begin.saturating_add(self.size).min(all.len());
        &all[begin..end]
    }

    /// The `Link` header; none where one page is all there is.
    pub fn links(
        &self,
        total: usize,
        address: &str,
        query: &BTreeMap<String, String>,
    ) -> Option<String> {
        let last = total.div_ceil(self.size).max(1);
        let to = |page: usize, relation: &str| {
            let mut query = query.clone();
            query.insert("page".to_owned(), page.to_string());
            let query = serde_urlencoded::to_string(&query).expect("pairs of text can be encoded");
            format!("<{address}?{query}>; rel=\"{relation}\"")
        };
        let mut links = Vec::new();
        if self.number > 1 {
            links.push(to(self.number - 1, "prev"));
        }
        if self.number < last {
            links.push(to(self.number + 1, "next"));
            links.push(to(last, "last"));
        }
        if self.number > 1 {
            links.push(to(1, "first"));
        }
        (!links.is_empty()).then(|| links.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn thirty_are_a_page_and_a_hundred_the_most() {
        let all: Vec<usize> = (0..250).collect();
        assert_eq!(Page::of(&query(&[])).cut(&all), &all[..30]);
        let most = query(&[("per_page", "500"), ("page", "3")]);
        assert_eq!(Page::of(&most).cut(&all), &all[200..]);
        let nonsense = query(&[("per_page", "0"), ("page", "none")]);
        assert_eq!(Page::of(&nonsense).cut(&all), &all[..30]);
        let beyond = query(&[("page", "99999999999999")]);
        assert!(Page::of(&beyond).cut(&all).is_empty());
    }

    #[test]
    fn links_lead_forwards_and_back() {
        let links = |page: &str, total| {
            let query = query(&[("per_page", "10"), ("page", page)]);
            Page::of(&query).links(total, "http://model/hooks", &query)
        };
        assert_eq!(links("1", 10), None);
        assert_eq!(
            links("1", 21).unwrap(),
            "<http://model/hooks?page=2&per_page=10>; rel=\"next\", \
             <http://model/hooks?page=3&per_page=10>; rel=\"last\""
        );
        assert_eq!(
            links("3", 21).unwrap(),
            "<http://model/hooks?page=2&per_page=10>; rel=\"prev\", \
             <http://model/hooks?page=1&per_page=10>; rel=\"first\""
        );
    }
}
