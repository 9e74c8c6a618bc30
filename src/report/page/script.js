// Tables can be sorted by their columns. The page says everything without this.
'use strict';
for (const head of document.querySelectorAll('thead th')) {
  const button = document.createElement('button');
  button.append(...head.childNodes);
  head.append(button);
  button.addEventListener('click', () => {
    const table = head.closest('table');
    const column = [...head.parentNode.children].indexOf(head);
    const upwards = head.getAttribute('aria-sort') === 'descending';
    table.querySelectorAll('th[aria-sort]').forEach((other) => other.removeAttribute('aria-sort'));
    head.setAttribute('aria-sort', upwards ? 'ascending' : 'descending');
    const value = (row) => row.cells[column].dataset.sort ?? row.cells[column].textContent;
    const order = (one, other) => value(one).localeCompare(value(other), undefined, { numeric: true });
    const rows = [...table.tBodies[0].rows].sort((one, other) => (upwards ? order(one, other) : order(other, one)));
    table.tBodies[0].append(...rows);
  });
}
