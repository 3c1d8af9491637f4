'use strict';
// The table is complete without this script. It filters the rows and shows the details of a cell. The fragment of the
// address has the state, so that a view can be linked: #domain=http&outcome=failed&search=retry
const filters = ['domain', 'outcome', 'search'].map((id) => document.getElementById(id));
const details = document.getElementById('details');
const shown = document.getElementById('shown');

function apply() {
  const [domain, outcome, search] = filters.map((filter) => filter.value.trim().toLowerCase());
  let rows = 0;
  for (const section of document.querySelectorAll('section[data-domain]')) {
    let visible = 0;
    for (const row of section.querySelectorAll('tbody tr')) {
      let matches = 0;
      for (const cell of row.querySelectorAll('td[data-outcome]')) {
        const match = !outcome || cell.dataset.outcome === outcome;
        cell.classList.toggle('dimmed', !match);
        matches += match;
      }
      row.hidden = !matches || !row.textContent.toLowerCase().includes(search);
      visible += !row.hidden;
    }
    section.hidden = !visible || (domain && section.dataset.domain !== domain);
    rows += section.hidden ? 0 : visible;
  }
  shown.textContent = `${rows} ${rows === 1 ? 'row' : 'rows'} shown`;
}

function write() {
  const state = new URLSearchParams();
  for (const filter of filters) {
    if (filter.value) state.set(filter.id, filter.value);
  }
  history.replaceState(null, '', `#${state}`);
}

function read() {
  const state = new URLSearchParams(location.hash.slice(1));
  for (const filter of filters) {
    filter.value = state.get(filter.id) ?? '';
    // A value that a list does not have is no filter.
    if (filter.selectedIndex === -1) filter.value = '';
  }
  apply();
}

function show(button) {
  const row = button.closest('tr');
  const values = {
    clause: [row.dataset.clause, row.title].filter(Boolean).join(': '),
    case: row.dataset.case,
    backend: button.dataset.backend,
    outcome: button.parentElement.dataset.outcome.replace('_', ' '),
    reason: button.dataset.reason || '(none)',
    time: `${button.dataset.millis} ms`,
  };
  for (const [name, value] of Object.entries(values)) {
    details.querySelector(`[data-value="${name}"]`).textContent = value;
  }
  details.showModal();
}

document.getElementById('filters').addEventListener('input', () => { write(); apply(); });
document.getElementById('filters').addEventListener('submit', (event) => event.preventDefault());
document.addEventListener('click', (event) => {
  const button = event.target.closest('td > button');
  if (button) show(button);
});
window.addEventListener('hashchange', read);
read();
