//! The name somebody probably meant.

/// The candidate most like `name`, if one is like enough to be worth suggesting.
///
/// ```
/// assert_eq!(riverhook_config::nearest("topc", ["group", "topic"]), Some("topic"));
/// assert_eq!(riverhook_config::nearest("colour", ["group", "topic"]), None);
/// ```
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Edit distance grows with the product of the lengths; no name worth a suggestion is this long.
    if name.len() > 100 {
        return None;
    }
    let allowed = (name.chars().count() / 3).max(1);
    let lowered = name.to_lowercase();
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= 100)
        .map(|candidate| {
            let distance = strsim::osa_distance(&lowered, &candidate.to_lowercase());
            (distance, candidate)
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
