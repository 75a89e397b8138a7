// The names of Chest ImaGenome's regions, written down from its documentation.
#include "tests/data/imagenome/fixture_annotation.h"

namespace imagenome_fixture {

const std::vector<Region>& KnownRegions() {
  static const std::vector<Region> regions = {
      {"abdomen", "Abdominal structure", "C0230168"},
      {"aortic arch", "Aortic arch structure", "C0003489"},
      {"cardiac silhouette", "Cardiac shadow viewed radiologically", "C0744689"},
      {"carina", "Carina", "C0225594"},
      {"cavoatrial junction", "Structure of cavoatrial junction", "C4281590"},
      {"left apical zone", "Left apical upper zone of lung", "C0929434"},
      {"left clavicle", "Left clavicle", "C0222796"},
      {"left costophrenic angle", "Left costophrenic angle", "C0504100"},
      {"left hemidiaphragm", "Left hemidiaphragm", "C0225782"},
      {"left hilar structures", "Left hilar structures", "C0929229"},
      {"left lower lung zone", "Left lower zone of lung", "C0929227"},
      {"left lung", "Left lung", "C0225730"},
      {"left mid lung zone", "Left mid zone of lung", "C0929224"},
      {"left upper lung zone", "Left upper zone of lung", "C0929221"},
      {"mediastinum", "Mediastinum", "C0025066"},
      {"right apical zone", "Right apical upper zone of lung", "C0929167"},
      {"right atrium", "Right atrial structure", "C0225844"},
      {"right clavicle", "Right clavicle", "C0222795"},
      {"right costophrenic angle", "Right costophrenic angle", "C0504099"},
      {"right hemidiaphragm", "Right hemidiaphragm", "C0225781"},
      {"right hilar structures", "Right hilar structures", "C0929228"},
      {"right lower lung zone", "Right lower zone of lung", "C0929226"},
      {"right lung", "Right lung", "C0225706"},
      {"right mid lung zone", "Right mid zone of lung", "C0929223"},
      {"right upper lung zone", "Right upper zone of lung", "C0929220"},
      {"spine", "Vertebral column", "C0037949"},
      {"svc", "Superior vena cava structure", "C0042459"},
      {"trachea", "Trachea", "C0040578"},
      {"upper mediastinum", "Upper mediastinum", "C0230151"}};
  return regions;
}

const std::vector<Region>& OtherRegions() {
  static const std::vector<Region> regions = {
      {"left cardiac silhouette", "Left border of heart", "C0225860"},
      {"right cardiac silhouette", "Right border of heart", "C0225861"},
      {"left cardiophrenic angle", "Left cardiophrenic angle", "C0504098"},
      {"descending aorta", "Descending aorta", "C0011666"},
      {"left upper abdomen", "Left upper quadrant of abdomen", "C0230179"},
      {"neck", "Neck", "C0027530"},
      {"left chest wall", "Left chest wall", "C0230123"},
      {"unknown", "Unknown", ""}};
  return regions;
}

}  // namespace imagenome_fixture
