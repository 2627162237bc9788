//! Who may start next: a fixed number of places, given to repositories by turns, so that one
//! with hundreds of pushes does not starve the rest. Within a repository the order is its own.

use std::collections::{BTreeMap, VecDeque};

use super::names::{BuildId, RepositoryName};

/// The places of the service and the builds that are ready for one.
#[derive(Debug)]
pub struct Admission {
    places: usize,
    ready: BTreeMap<RepositoryName, VecDeque<BuildId>>,
    /// Repositories with something ready, the next one first.
    turns: VecDeque<RepositoryName>,
    running: BTreeMap<RepositoryName, Vec<BuildId>>,
}

impl Admission {
    pub fn new(places: usize) -> Self {
        Self {
            places,
            ready: BTreeMap::new(),
            turns: VecDeque::new(),
            running: BTreeMap::new(),
        }
    }

    /// Fewer places than builds that run: those go on, and none starts until there is room.
    pub fn set_places(&mut self, places: usize) {
        self.places = places;
    }

    pub fn running(&self) -> usize {
        self.running.values().map(Vec::len).sum()
    }

    /// A build waits for nothing but a place. Telling it twice changes nothing.
    pub fn ready(&mut self, repository: &RepositoryName, build: BuildId) {
        let queue = self.ready.entry(repository.clone()).or_default();
        if queue.contains(&build) {
            return;
        }
        queue.push_back(build);
        if !self.turns.contains(repository) {
            self.turns.push_back(repository.clone());
        }
    }

    /// A build runs without having been admitted here: it was taken over after a restart.
    pub fn taken_over(&mut self, repository: &RepositoryName, build: BuildId) {
        self.running
            .entry(repository.clone())
            .or_default()
            .push(build);
    }

    /// A build no longer wants a place, or gives its place back.
    pub fn gone(&mut self, repository: &RepositoryName, build: &BuildId) {
        if let Some(builds) = self.ready.get_mut(repository) {
            builds.retain(|waiting| waiting != build);
        }
        if let Some(builds) = self.running.get_mut(repository) {
            builds.retain(|running| running != build);
        }
        self.tidy(repository);
    }

    /// Nothing of a repository waits or runs any more, as far as we know: its actor was lost and
    /// will tell everything afresh.
    pub fn forget(&mut self, repository: &RepositoryName) {
        self.ready.remove(repository);
        self.running.remove(repository);
        self.turns.retain(|turn| turn != repository);
    }

    /// Gives one place, if one is free and some build is ready for it.
    pub fn admit(&mut self) -> Option<(RepositoryName, BuildId)> {
        if self.running() >= self.places {
            return None;
        }
        let repository = self.turns.pop_front()?;
        let build = self
            .ready
            .get_mut(&repository)
            .and_then(VecDeque::pop_front)?;
        self.running
            .entry(repository.clone())
            .or_default()
            .push(build.clone());
        if self
            .ready
            .get(&repository)
            .is_some_and(|queue| !queue.is_empty())
        {
            self.turns.push_back(repository.clone());
        }
        self.tidy(&repository);
        Some((repository, build))
    }

    fn tidy(&mut self, repository: &RepositoryName) {
        if self.ready.get(repository).is_some_and(VecDeque::is_empty) {
            self.ready.remove(repository);
            self.turns.retain(|turn| turn != repository);
        }
        if self.running.get(repository).is_some_and(Vec::is_empty) {
            self.running.remove(repository);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(name: &str) -> RepositoryName {
        format!("acme/{name}").parse().unwrap()
    }

    fn build(number: u64) -> BuildId {
        BuildId::from_random(number)
    }

    #[test]
    fn repositories_take_turns() {
        let (busy, calm) = (repository("busy"), repository("calm"));
        let mut admission = Admission::new(100);
        for number in 0..3 {
            admission.ready(&busy, build(number));
        }
        admission.ready(&calm, build(10));
        let order: Vec<BuildId> = std::iter::from_fn(|| admission.admit())
            .map(|(_, build)| build)
            .collect();
        assert_eq!(order, [build(0), build(10), build(1), build(2)]);
    }

    #[test]
    fn no_more_run_than_there_are_places() {
        let acme = repository("app");
        let mut admission = Admission::new(2);
        for number in 0..3 {
            admission.ready(&acme, build(number));
        }
        assert!(admission.admit().is_some() && admission.admit().is_some());
        assert_eq!(admission.admit(), None);
        admission.gone(&acme, &build(0));
        assert_eq!(admission.admit(), Some((acme, build(2))));
    }

    #[test]
    fn builds_taken_over_hold_places() {
        let acme = repository("app");
        let mut admission = Admission::new(1);
        admission.taken_over(&acme, build(1));
        admission.ready(&acme, build(2));
        assert_eq!(admission.admit(), None);
        admission.gone(&acme, &build(1));
        assert_eq!(admission.admit(), Some((acme, build(2))));
    }

    #[test]
    fn a_withdrawn_build_is_not_admitted_and_told_twice_is_admitted_once() {
        let acme = repository("app");
        let mut admission = Admission::new(5);
        admission.ready(&acme, build(1));
        admission.ready(&acme, build(2));
        admission.ready(&acme, build(2));
        admission.gone(&acme, &build(1));
        assert_eq!(admission.admit(), Some((acme, build(2))));
        assert_eq!(admission.admit(), None);
    }

    #[test]
    fn forgetting_a_repository_frees_its_places() {
        let (lost, other) = (repository("lost"), repository("other"));
        let mut admission = Admission::new(1);
        admission.ready(&lost, build(1));
        admission.admit().unwrap();
        admission.ready(&lost, build(2));
        admission.ready(&other, build(3));
        admission.forget(&lost);
        assert_eq!(admission.admit(), Some((other, build(3))));
    }
}
