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

    /// These builds of a repository run, and no others: they were found after a restart of the
    /// service or of its queue.
    pub fn taken_over(&mut self, repository: &RepositoryName, builds: Vec<BuildId>) {
        self.running.insert(repository.clone(), builds);
        self.tidy(repository);
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

    /// Nothing of a repository waits any more, as far as we know: its actor was lost and will tell
    /// everything afresh. What ran keeps its places, as its containers still run.
    pub fn lost(&mut self, repository: &RepositoryName) {
        self.ready.remove(repository);
        self.turns.retain(|turn| turn != repository);
    }

    /// A repository whose actor does not come back soon holds no places that others can use.
    pub fn forget(&mut self, repository: &RepositoryName) {
        self.lost(repository);
        self.running.remove(repository);
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
        admission.taken_over(&acme, vec![build(1)]);
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
    fn what_ran_when_an_actor_was_lost_keeps_its_places_until_it_is_known_what_runs() {
        let (lost, other) = (repository("lost"), repository("other"));
        let mut admission = Admission::new(2);
        for number in 1..=3 {
            admission.ready(&lost, build(number));
        }
        assert!(admission.admit().is_some() && admission.admit().is_some());
        admission.ready(&other, build(9));
        admission.lost(&lost);
        assert_eq!(admission.admit(), None);
        // The other one had ended, or had not begun.
        admission.taken_over(&lost, vec![build(2)]);
        assert_eq!(admission.admit(), Some((other, build(9))));
        assert_eq!(admission.admit(), None);
        admission.ready(&lost, build(3));
        admission.gone(&lost, &build(2));
        assert_eq!(admission.admit(), Some((lost, build(3))));
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
